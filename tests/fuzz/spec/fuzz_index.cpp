#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spec/image.hpp"

// What is taken must come out of its own text form unchanged.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text{reinterpret_cast<const char*>(data), size};
    auto value = hull::spec::parse_index(text);
    if (!value) return 0;
    std::string written = hull::spec::format_index(*value);
    auto again = hull::spec::parse_index(written);
    if (!again || hull::spec::format_index(*again) != written) std::abort();
    return 0;
}
