#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spec/platform.hpp"
#include "spec/reference.hpp"

// A completed name must be its own full form, and its familiar form must mean the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text{reinterpret_cast<const char*>(data), size};
    if (auto platform = hull::spec::parse_platform(text)) {
        auto again = hull::spec::parse_platform(platform->to_string());
        if (!again || *again != *platform) std::abort();
    }
    auto reference = hull::spec::parse_reference(text);
    if (!reference) return 0;
    auto full = hull::spec::parse_reference(reference->to_string());
    if (!full || *full != *reference) std::abort();
    auto familiar = hull::spec::parse_reference(reference->familiar());
    if (!familiar || *familiar != *reference) std::abort();
    return 0;
}
