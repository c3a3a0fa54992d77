#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text of strangers (names, error messages, image settings) before people see it.

namespace hull {

/// Bytes at the start of `text` that would steer a terminal, or show a reader another order than
/// that of the bytes: C0, DEL, C1 in UTF-8 (U+0080 to U+009F), marks of writing direction. 0: none.
size_t steering_length(std::string_view text);

/// The text with what steers, and what is no UTF-8, as \x1b and the like. Newlines and tabs stay.
std::string printable(std::string_view text);
/// The same on one line: line ends, tabs and NUL become blanks.
std::string printable_line(std::string_view text);

/// Appends the character at the start of `text` as printable() has it; a newline or tab is escaped.
/// @param is_utf8  whether the whole text is
/// @return  how many bytes of `text` that were
size_t append_printable(std::string& out, std::string_view text, bool is_utf8);

}  // namespace hull
