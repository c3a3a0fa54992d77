#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/file.hpp"
#include "base/result.hpp"

// nlohmann/json lives here and in x_json.cpp files only: 4.7 s of compile time for each includer.

namespace hull {

using Json = nlohmann::json;

/// Parses one JSON document. `what` names it in errors ("config.json"). Refuses a document nested
/// deeper than 100 levels, duplicate keys (two parsers would read two meanings), and trailing text.
/// @errors invalid: with line and column.
Result<Json> parse_json(std::string_view text, std::string_view what);
Result<Json> load_json(const std::string& path, size_t limit = 16U << 20U);
Result<void> save_json(const std::string& path, const Json& value, WriteOptions options = {});
/// Compact when `indent` is negative. Invalid UTF-8 is replaced, never thrown about.
std::string dump_json(const Json& value, int indent = -1);

/// A value inside a document together with its JSON path, so that each error names the field:
/// "linux.resources.memory.limit: must be a number, is a string".
class JsonReader {
  public:
    JsonReader(const Json& value, std::string path) : value_(&value), path_(std::move(path)) {}

    const Json& json() const { return *value_; }
    const std::string& path() const { return path_; }
    bool has(std::string_view key) const;
    /// The member, if it is there and not null.
    std::optional<JsonReader> find(std::string_view key) const;
    /// @errors invalid: missing.
    Result<JsonReader> require(std::string_view key) const;
    /// @errors invalid: not an array. Each element's path ends in [i].
    Result<std::vector<JsonReader>> elements() const;
    /// Members of an object, in order of their names.
    Result<std::vector<std::pair<std::string, JsonReader>>> members() const;

    Result<std::string> as_string() const;
    Result<bool> as_bool() const;
    Result<int64_t> as_int64() const;
    Result<uint64_t> as_uint64() const;
    Result<uint32_t> as_uint32() const;
    Result<int32_t> as_int32() const;
    Result<double> as_double() const;
    Result<std::vector<std::string>> as_strings() const;
    Result<void> expect_object() const;

    /// Reads member `key` into `target` if present; leaves `target` alone if not.
    Result<void> read(std::string_view key, std::string& target) const;
    Result<void> read(std::string_view key, bool& target) const;
    Result<void> read(std::string_view key, int64_t& target) const;
    Result<void> read(std::string_view key, uint64_t& target) const;
    Result<void> read(std::string_view key, uint32_t& target) const;
    Result<void> read(std::string_view key, int32_t& target) const;
    Result<void> read(std::string_view key, std::vector<std::string>& target) const;
    template <typename T>
    Result<void> read(std::string_view key, std::optional<T>& target) const {
        if (!find(key)) return {};
        T value{};
        TRY(read(key, value));
        target = std::move(value);
        return {};
    }

    /// An `invalid` error about this field.
    tl::unexpected<Error> refuse(std::string_view why, std::string hint = {}) const;

  private:
    std::string member_path(std::string_view key) const;
    /// "must be a string, is number 5", and how it would be one.
    tl::unexpected<Error> wrong_type(std::string_view wanted, std::string_view remedy) const;
    const Json* value_;
    std::string path_;
};

}  // namespace hull
