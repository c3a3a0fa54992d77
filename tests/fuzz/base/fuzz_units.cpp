// Sizes, durations and timestamps: what is accepted can be printed and read again as the same
// value.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/units.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    if (auto bytes = hull::parse_bytes(text)) {
        if (bytes->value > INT64_MAX) std::abort();
        (void)hull::format_bytes(*bytes);
    }
    if (auto duration = hull::parse_duration(text)) (void)hull::format_duration(*duration);
    if (auto when = hull::parse_timestamp(text)) {
        auto again = hull::parse_timestamp(hull::format_timestamp(*when));
        if (!again || *again != *when) std::abort();
    }
    return 0;
}
