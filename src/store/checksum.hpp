#pragma once

#include <string>
#include <string_view>

namespace hull::store {

/// A short sum over the text of a record, so that no flipped bit turns one record into another:
/// any one changed byte gives another sum (FNV-1a). Not a proof against an enemy; whoever can write
/// records can write sums.
/// @return  eight hexadecimal digits
std::string checksum(std::string_view text);

/// `text` with a last line "sum SUM" over all before it.
std::string with_checksum(std::string text);
/// The part that with_checksum() was given; empty, as no record is, if the sum is missing or wrong.
std::string_view without_checksum(std::string_view text);

/// `text` with its sum, twice: one of the two survives a damage.
std::string with_copy(const std::string& text);
/// What with_copy() was given.
struct CopiedText {
    std::string_view text;  ///< empty if both are damaged
    bool is_whole = false;  ///< both are there and equal
};
CopiedText without_copy(std::string_view file);

}  // namespace hull::store
