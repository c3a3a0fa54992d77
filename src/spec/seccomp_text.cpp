#include "spec/seccomp_text.hpp"

namespace hull::spec {

namespace {

constexpr std::string_view kBlank = " \t\r\n";  // RFC 8259, section 2: ws
constexpr std::string_view kName = "\"seccomp\"";

/// Where the string ends that begins at `start`: behind its closing quotation mark.
size_t end_of_string(std::string_view text, size_t start) {
    for (size_t i = start + 1; i < text.size(); ++i) {
        if (text[i] == '\\')
            ++i;
        else if (text[i] == '"')
            return i + 1;
    }
    return std::string_view::npos;
}

/// Where the object ends that begins at `start`: behind its closing brace.
size_t end_of_object(std::string_view text, size_t start) {
    size_t depth = 0;
    size_t i = start;
    while ((i = text.find_first_of("\"{}", i)) != std::string_view::npos) {
        if (text[i] == '"') {
            i = end_of_string(text, i);
            continue;
        }
        depth = text[i] == '{' ? depth + 1 : depth - 1;
        ++i;
        if (depth == 0) return i;
    }
    return std::string_view::npos;
}

/// Where the object begins that is the value of a member whose name ends at `name_end`.
size_t start_of_object(std::string_view text, size_t name_end) {
    const size_t colon = text.find_first_not_of(kBlank, name_end);
    if (colon == std::string_view::npos || text[colon] != ':') return std::string_view::npos;
    const size_t value = text.find_first_not_of(kBlank, colon + 1);
    return value != std::string_view::npos && text[value] == '{' ? value : std::string_view::npos;
}

}  // namespace

std::optional<std::string_view> find_seccomp_text(std::string_view config) {
    std::optional<std::string_view> found;
    for (size_t at = config.find(kName); at != std::string_view::npos;
         at = config.find(kName, at + kName.size())) {
        const size_t start = start_of_object(config, at + kName.size());
        if (start == std::string_view::npos) continue;
        const size_t end = end_of_object(config, start);
        if (end == std::string_view::npos || found) return std::nullopt;
        found = config.substr(start, end - start);
    }
    return found;
}

}  // namespace hull::spec
