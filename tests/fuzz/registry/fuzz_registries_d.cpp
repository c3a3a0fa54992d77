#include <cstddef>
#include <cstdint>
#include <string_view>

#include "registry/lookaside.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    (void)hull::registry::parse_registries_d({reinterpret_cast<const char*>(data), size}, "fuzz");
    return 0;
}
