#include "store/checksum.hpp"

#include <cstdint>
#include <utility>

#include "base/text.hpp"

namespace hull::store {
namespace {

constexpr std::string_view kSumLine = "sum ";

}  // namespace

std::string checksum(std::string_view text) {
    uint32_t sum = 2166136261U;
    for (char c : text)
        sum = (sum ^ static_cast<unsigned char>(c)) * 16777619U;
    std::string bytes;
    for (unsigned shift : {24U, 16U, 8U, 0U})
        bytes += static_cast<char>((sum >> shift) & 0xffU);
    return to_hex(bytes);
}

std::string with_checksum(std::string text) {
    std::string sum = checksum(text);
    return std::move(text) + std::string{kSumLine} + sum + "\n";
}

std::string_view without_checksum(std::string_view text) {
    size_t length = kSumLine.size() + 8 + 1;
    if (text.size() < length) return {};
    std::string_view record = text.substr(0, text.size() - length);
    std::string expected = std::string{kSumLine} + checksum(record) + "\n";
    return text.substr(record.size()) == expected ? record : std::string_view{};
}

std::string with_copy(const std::string& text) {
    std::string once = with_checksum(text);
    return once + once;
}

CopiedText without_copy(std::string_view file) {
    std::string_view first = without_checksum(file.substr(0, file.size() / 2));
    std::string_view second = without_checksum(file.substr(file.size() / 2));
    bool is_whole = !first.empty() && first == second;
    if (first.empty()) first = second;
    if (first.empty()) {  // cut off somewhere in the second
        size_t sum = file.find("\n" + std::string{kSumLine});
        size_t end = sum == std::string_view::npos ? sum : file.find('\n', sum + 1);
        if (end != std::string_view::npos) first = without_checksum(file.substr(0, end + 1));
    }
    return {first, is_whole};
}

}  // namespace hull::store
