#include <cstddef>
#include <cstdint>
#include <string_view>

#include "registry/challenge.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text{reinterpret_cast<const char*>(data), size};
    auto found = hull::registry::parse_challenges(text);
    if (!found) return 0;
    for (const auto& one : *found)
        if (one.scheme.empty()) __builtin_trap();
    return 0;
}
