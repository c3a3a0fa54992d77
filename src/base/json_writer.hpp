#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hull {

/// `text` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD.
std::string json_quote(std::string_view text);

/// Writes one JSON document front to back, fields in the order of the calls. For what has a fixed
/// shape (state files, reports): no tree is built. Nothing is checked: the caller's calls must
/// nest.
///
///     JsonWriter out{2};
///     out.begin_object();
///     out.field("id", id);
///     out.begin_object("user"); out.field("uid", uid); out.end_object();
///     out.end_object();
class JsonWriter {
  public:
    /// @param indent  blanks per level; 0 or less: one line, without blanks.
    explicit JsonWriter(int indent = 0) : indent_(indent) {}

    void begin_object() { open('{'); }
    void begin_object(std::string_view name) { key(name), open('{'); }
    void end_object() { close('}'); }
    void begin_array() { open('['); }
    void begin_array(std::string_view name) { key(name), open('['); }
    void end_array() { close(']'); }

    void value(std::string_view text) { put(json_quote(text)); }
    void value(const char* text) { put(json_quote(text)); }
    void value(bool is_true) { put(is_true ? "true" : "false"); }
    template <std::integral T>
        requires(!std::same_as<T, bool>)
    void value(T number) {
        put(std::to_string(number));
    }
    /// At most six decimals.
    void value(double number);
    /// JSON text as it is.
    void raw(std::string_view json) { put(json); }

    template <typename T>
    void field(std::string_view name, const T& content) {
        key(name);
        value(content);
    }
    void field(std::string_view name, const std::vector<std::string>& items);
    void raw_field(std::string_view name, std::string_view json) { key(name), put(json); }
    /// Only if there is something in it.
    void optional_field(std::string_view name, std::string_view text) {
        if (!text.empty()) field(name, text);
    }

    std::string take() { return std::move(out_); }

  private:
    void key(std::string_view name);
    void put(std::string_view text);
    void open(char bracket);
    void close(char bracket);
    void separate();
    void new_line();

    std::string out_;
    int indent_;
    int depth_ = 0;
    bool is_first_ = true;
    bool after_key_ = false;
};

}  // namespace hull
