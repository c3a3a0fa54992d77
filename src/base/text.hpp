#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hull {

std::vector<std::string_view> split(std::string_view text, char separator);
std::vector<std::string_view> split_lines(std::string_view text);
std::string_view trim(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
/// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);
/// `text` in quotes with control characters, quotes and invalid bytes escaped, for messages about
/// what strangers wrote.
std::string quote(std::string_view text);
bool is_valid_utf8(std::string_view text);

/// A whole number in base `base`, strictly: no sign for unsigned types, no blanks, nothing left
/// over (CVE-2026-30892 came from a parser that ignored what it did not understand).
template <std::integral T>
std::optional<T> parse_number(std::string_view text, int base = 10) {
    T value{};
    auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (failed != std::errc{} || end != text.data() + text.size() || text.empty())
        return std::nullopt;
    return value;
}

/// The closest of `candidates` to a mistyped `word`, for "did you mean"; nullopt if none is near.
std::optional<std::string> closest_match(std::string_view word,
                                         const std::vector<std::string>& candidates);

}  // namespace hull
