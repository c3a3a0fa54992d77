#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernel/process.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    (void)hull::kernel::parse_process_stat({reinterpret_cast<const char*>(data), size});
    return 0;
}
