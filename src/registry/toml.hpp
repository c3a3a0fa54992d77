#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace hull::registry {

/// The part of TOML 1.0 that registries.conf(5) uses: tables, arrays of tables, strings of all four
/// kinds, whole numbers, booleans, arrays, inline tables, dotted and quoted keys. Dates and
/// fractions are refused.
struct TomlValue;
using TomlArray = std::vector<TomlValue>;
using TomlTable = std::map<std::string, TomlValue, std::less<>>;

struct TomlValue {
    std::variant<std::string, int64_t, bool, TomlArray, TomlTable> data;
    int line = 0;            ///< where it begins, for messages
    bool is_closed = false;  ///< written as a literal: later headers may not add to it

    const TomlTable* table() const { return std::get_if<TomlTable>(&data); }
    TomlTable* table() { return std::get_if<TomlTable>(&data); }
    const TomlArray* array() const { return std::get_if<TomlArray>(&data); }
    TomlArray* array() { return std::get_if<TomlArray>(&data); }
    const std::string* string() const { return std::get_if<std::string>(&data); }
    const bool* boolean() const { return std::get_if<bool>(&data); }
};

/// @errors invalid: naming `what` and the line
Result<TomlTable> parse_toml(std::string_view text, std::string_view what);

}  // namespace hull::registry
