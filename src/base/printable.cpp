#include "base/printable.hpp"

#include "base/text.hpp"

namespace hull {
namespace {

void append_hex(std::string& out, std::string_view bytes) {
    for (const char& c : bytes)
        out += "\\x" + to_hex({&c, 1});
}

}  // namespace

size_t steering_length(std::string_view text) {
    const auto byte = [&](size_t i) {
        return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    };
    if (byte(0) < 0x20 || byte(0) == 0x7f) return 1;
    if (byte(0) == 0xc2 && byte(1) >= 0x80 && byte(1) <= 0x9f) return 2;
    if (byte(0) != 0xe2) return 0;
    const bool is_mark = byte(1) == 0x80 && (byte(2) == 0x8e || byte(2) == 0x8f);
    const bool is_embedding = byte(1) == 0x80 && byte(2) >= 0xaa && byte(2) <= 0xae;
    const bool is_isolate = byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9;
    return is_mark || is_embedding || is_isolate ? 3 : 0;
}

size_t append_printable(std::string& out, std::string_view text, bool is_utf8) {
    size_t length = steering_length(text);
    if (length == 0 && !is_utf8 && static_cast<unsigned char>(text[0]) >= 0x80) length = 1;
    if (length == 0) {
        out += text[0];
        return 1;
    }
    append_hex(out, text.substr(0, length));
    return length;
}

namespace {

/// @param instead  what stands for a character; 0: append_printable() decides
template <typename Instead>
std::string shown(std::string_view text, Instead&& instead) {
    const bool is_utf8 = is_valid_utf8(text);
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        size_t taken = 1;
        if (const char c = instead(text[0]); c != '\0')
            out += c;
        else
            taken = append_printable(out, text, is_utf8);
        text.remove_prefix(taken);
    }
    return out;
}

}  // namespace

std::string printable(std::string_view text) {
    return shown(text, [](char c) { return c == '\n' || c == '\t' ? c : '\0'; });
}

std::string printable_line(std::string_view text) {
    return shown(
        text, [](char c) { return c == '\n' || c == '\r' || c == '\t' || c == '\0' ? ' ' : '\0'; });
}

}  // namespace hull
