#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace hull {

std::string encode_base64(std::string_view bytes);
/// @return nullopt: not base64 (blanks and line ends are skipped).
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace hull
