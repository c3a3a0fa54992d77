#include "base/json_writer.hpp"

#include <array>
#include <cstdio>

namespace hull {
namespace {

/// Length of the valid UTF-8 sequence at the start of `text`; 0: there is none. RFC 3629.
size_t sequence_length(std::string_view text) {
    auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
    unsigned first = byte(0);
    size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first > 0xf4 || length == 0 || text.size() < length) return 0;
    for (size_t i = 1; i < length; ++i)
        if ((byte(i) & 0xc0U) != 0x80) return 0;
    if (first == 0xe0 && byte(1) < 0xa0) return 0;   // overlong
    if (first == 0xed && byte(1) >= 0xa0) return 0;  // surrogates
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) >= 0x90) return 0;
    return length;
}

void append_escaped(std::string& out, char c) {
    switch (c) {
        case '"':
            out += "\\\"";
            return;
        case '\\':
            out += "\\\\";
            return;
        case '\n':
            out += "\\n";
            return;
        case '\t':
            out += "\\t";
            return;
        case '\r':
            out += "\\r";
            return;
        default:
            break;
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    auto byte = static_cast<unsigned char>(c);
    out += "\\u00";
    out += kDigits[byte >> 4U];
    out += kDigits[byte & 0xfU];
}

}  // namespace

std::string json_quote(std::string_view text) {
    std::string out;
    out.reserve(text.size() + 2);
    out += '"';
    while (!text.empty()) {
        size_t length = sequence_length(text);
        char c = text.front();
        if (length == 0) {
            out += "\xef\xbf\xbd";
            length = 1;
        } else if (length == 1 &&
                   (c == '"' || c == '\\' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f)) {
            append_escaped(out, c);
        } else {
            out += text.substr(0, length);
        }
        text.remove_prefix(length);
    }
    out += '"';
    return out;
}

void JsonWriter::value(double number) {
    std::array<char, 64> buffer{};
    int length = std::snprintf(buffer.data(), buffer.size(), "%.6f", number);
    std::string_view text{buffer.data(), static_cast<size_t>(length > 0 ? length : 0)};
    while (text.ends_with('0'))
        text.remove_suffix(1);
    if (text.ends_with('.')) text.remove_suffix(1);
    put(text);
}

void JsonWriter::field(std::string_view name, const std::vector<std::string>& items) {
    begin_array(name);
    for (const auto& item : items)
        value(std::string_view{item});
    end_array();
}

void JsonWriter::separate() {
    if (after_key_) {
        after_key_ = false;
        return;
    }
    if (!is_first_) out_ += ',';
    if (depth_ > 0) new_line();
    is_first_ = false;
}

void JsonWriter::new_line() {
    if (indent_ <= 0) return;
    out_ += '\n';
    out_.append(static_cast<size_t>(indent_ * depth_), ' ');
}

void JsonWriter::key(std::string_view name) {
    separate();
    out_ += json_quote(name);
    out_ += indent_ > 0 ? ": " : ":";
    after_key_ = true;
}

void JsonWriter::put(std::string_view text) {
    separate();
    out_ += text;
}

void JsonWriter::open(char bracket) {
    separate();
    out_ += bracket;
    ++depth_;
    is_first_ = true;
}

void JsonWriter::close(char bracket) {
    --depth_;
    if (!is_first_) new_line();
    out_ += bracket;
    is_first_ = false;
}

}  // namespace hull
