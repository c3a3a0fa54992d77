#include "base/json_io.hpp"

#include <limits>

#include "base/text.hpp"

namespace hull {
namespace {

constexpr size_t kMaxDepth = 100;

/// Where byte `offset` (1-based, as nlohmann counts) lies.
std::string line_and_column(std::string_view text, size_t offset) {
    size_t line = 1;
    size_t column = 1;
    for (size_t i = 0; i + 1 < offset && i < text.size(); ++i) {
        if (text[i] == '\n') {
            ++line;
            column = 1;
        } else {
            ++column;
        }
    }
    return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

/// Makes the value as the parser tells of its parts, and stops at what parse_json() refuses.
class DocumentBuilder : public nlohmann::json_sax<Json> {
  public:
    /// What is wrong with the document, without its name; empty: nothing.
    const std::string& problem() const { return problem_; }
    /// Where it is no JSON, if it is none: a 1-based offset.
    size_t bad_offset() const { return bad_offset_; }
    Json take() { return std::move(root_); }

    bool null() override { return add(nullptr) != nullptr; }
    bool boolean(bool value) override { return add(value) != nullptr; }
    bool number_integer(int64_t value) override { return add(value) != nullptr; }
    bool number_unsigned(uint64_t value) override { return add(value) != nullptr; }
    bool number_float(double value, const std::string& /*text*/) override {
        return add(value) != nullptr;
    }
    bool string(std::string& value) override { return add(std::move(value)) != nullptr; }
    bool binary(Json::binary_t& /*value*/) override { return false; }  // not in JSON text
    bool start_object(size_t /*size*/) override { return open(Json::object()); }
    bool start_array(size_t /*size*/) override { return open(Json::array()); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(std::string& name) override {
        auto& members = open_.back()->get_ref<Json::object_t&>();
        const auto [member, is_new] = members.try_emplace(std::move(name));
        member_ = &member->second;
        return is_new || refuse("has the key " + quote(member->first) + " twice");
    }

    bool parse_error(size_t offset, const std::string& /*token*/,
                     const Json::exception& /*error*/) override {
        bad_offset_ = offset;
        return false;
    }

  private:
    Json* add(Json value) {
        Json* place = &root_;
        if (!open_.empty() && open_.back()->is_array())
            place = &open_.back()->get_ref<Json::array_t&>().emplace_back();
        else if (!open_.empty())
            place = member_;
        *place = std::move(value);
        return place;
    }
    bool open(Json empty) {
        // The parser keeps its stack on the heap, so depth alone cannot overflow ours; the
        // destructor does as well. The limit is for those who walk the value.
        if (open_.size() >= kMaxDepth)
            return refuse("is nested deeper than " + std::to_string(kMaxDepth) + " levels");
        open_.push_back(add(std::move(empty)));
        return true;
    }
    bool close() {
        open_.pop_back();
        return true;
    }
    bool refuse(std::string why) {
        problem_ = std::move(why);
        return false;
    }

    Json root_;
    std::vector<Json*> open_;  ///< the objects and arrays around the next value
    Json* member_ = nullptr;   ///< where the next value goes in an object
    std::string problem_;
    size_t bad_offset_ = 0;
};

}  // namespace

Result<Json> parse_json(std::string_view text, std::string_view what) {
    DocumentBuilder builder;
    if (Json::sax_parse(text.begin(), text.end(), &builder)) return builder.take();
    std::string problem = builder.problem();
    if (problem.empty())
        problem = "not valid JSON at " + line_and_column(text, builder.bad_offset());
    return fail(Errc::invalid, std::string{what} + ": " + problem);
}

Result<Json> load_json(const std::string& path, size_t limit) {
    return parse_json(TRY(read_file(path, limit)), path);
}

Result<void> save_json(const std::string& path, const Json& value, WriteOptions options) {
    return write_file_atomically(path, dump_json(value), options);
}

std::string dump_json(const Json& value, int indent) {
    return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

std::string JsonReader::member_path(std::string_view key) const {
    return path_.empty() ? std::string{key} : path_ + "." + std::string{key};
}

bool JsonReader::has(std::string_view key) const {
    return find(key).has_value();
}

std::optional<JsonReader> JsonReader::find(std::string_view key) const {
    if (!value_->is_object()) return std::nullopt;
    auto member = value_->find(key);
    if (member == value_->end() || member->is_null()) return std::nullopt;
    return JsonReader{*member, member_path(key)};
}

Result<JsonReader> JsonReader::require(std::string_view key) const {
    TRY(expect_object());
    auto member = find(key);
    if (!member) return fail(Errc::invalid, member_path(key) + ": is missing");
    return *member;
}

tl::unexpected<Error> JsonReader::refuse(std::string_view why, std::string hint) const {
    return fail(Errc::invalid, (path_.empty() ? "document" : path_) + ": " + std::string{why},
                std::move(hint));
}

tl::unexpected<Error> JsonReader::wrong_type(std::string_view wanted,
                                             std::string_view remedy) const {
    std::string found = value_->type_name();
    if (value_->is_primitive() && !value_->is_null()) {
        std::string text = dump_json(*value_);
        found += " " + (text.size() > 60 ? text.substr(0, 60) + "…" : text);
    }
    return refuse("must be " + std::string{wanted} + ", is " + found, std::string{remedy});
}

Result<std::vector<JsonReader>> JsonReader::elements() const {
    if (!value_->is_array()) return wrong_type("an array", "write it in [ ]");
    std::vector<JsonReader> out;
    out.reserve(value_->size());
    for (size_t i = 0; i < value_->size(); ++i)
        out.emplace_back((*value_)[i], path_ + "[" + std::to_string(i) + "]");
    return out;
}

Result<std::vector<std::pair<std::string, JsonReader>>> JsonReader::members() const {
    TRY(expect_object());
    std::vector<std::pair<std::string, JsonReader>> out;
    for (const auto& item : value_->items())
        out.emplace_back(item.key(), JsonReader{item.value(), member_path(item.key())});
    return out;
}

Result<void> JsonReader::expect_object() const {
    if (!value_->is_object()) return wrong_type("an object", "write it in { }");
    return {};
}

Result<std::string> JsonReader::as_string() const {
    if (!value_->is_string()) return wrong_type("a string", "write it in quotes");
    auto text = value_->get<std::string>();
    // The kernel's strings end at the first NUL: "a\0b" would be checked as one name and used as
    // another.
    if (text.find('\0') != std::string::npos) return refuse("must not contain a NUL character");
    return text;
}

Result<bool> JsonReader::as_bool() const {
    if (!value_->is_boolean())
        return wrong_type("true or false", "write true or false without quotes");
    return value_->get<bool>();
}

Result<int64_t> JsonReader::as_int64() const {
    if (value_->is_number_unsigned()) {
        auto number = value_->get<uint64_t>();
        if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()))
            return refuse("is too large");
        return static_cast<int64_t>(number);
    }
    if (!value_->is_number_integer())
        return wrong_type("a whole number", "write digits without quotes");
    return value_->get<int64_t>();
}

Result<uint64_t> JsonReader::as_uint64() const {
    if (!value_->is_number_integer())
        return wrong_type("a whole number", "write digits without quotes");
    if (!value_->is_number_unsigned() && value_->get<int64_t>() < 0)
        return refuse("must not be negative");
    return value_->get<uint64_t>();
}

Result<uint32_t> JsonReader::as_uint32() const {
    uint64_t number = TRY(as_uint64());
    if (number > std::numeric_limits<uint32_t>::max()) return refuse("is larger than 4294967295");
    return static_cast<uint32_t>(number);
}

Result<int32_t> JsonReader::as_int32() const {
    int64_t number = TRY(as_int64());
    if (number > std::numeric_limits<int32_t>::max() ||
        number < std::numeric_limits<int32_t>::min())
        return refuse("does not fit into 32 bits");
    return static_cast<int32_t>(number);
}

Result<double> JsonReader::as_double() const {
    if (!value_->is_number()) return wrong_type("a number", "write digits without quotes");
    return value_->get<double>();
}

Result<std::vector<std::string>> JsonReader::as_strings() const {
    std::vector<std::string> out;
    for (const auto& element : TRY(elements()))
        out.push_back(TRY(element.as_string()));
    return out;
}

Result<void> JsonReader::read(std::string_view key, std::string& target) const {
    if (auto member = find(key)) target = TRY(member->as_string());
    return {};
}
Result<void> JsonReader::read(std::string_view key, bool& target) const {
    if (auto member = find(key)) target = TRY(member->as_bool());
    return {};
}
Result<void> JsonReader::read(std::string_view key, int64_t& target) const {
    if (auto member = find(key)) target = TRY(member->as_int64());
    return {};
}
Result<void> JsonReader::read(std::string_view key, uint64_t& target) const {
    if (auto member = find(key)) target = TRY(member->as_uint64());
    return {};
}
Result<void> JsonReader::read(std::string_view key, uint32_t& target) const {
    if (auto member = find(key)) target = TRY(member->as_uint32());
    return {};
}
Result<void> JsonReader::read(std::string_view key, int32_t& target) const {
    if (auto member = find(key)) target = TRY(member->as_int32());
    return {};
}
Result<void> JsonReader::read(std::string_view key, std::vector<std::string>& target) const {
    if (auto member = find(key)) target = TRY(member->as_strings());
    return {};
}

}  // namespace hull
