#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernel/mountinfo.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto entries = hull::kernel::parse_mountinfo({reinterpret_cast<const char*>(data), size});
    if (entries) (void)hull::kernel::mounts_below(*entries, "/proc");
    return 0;
}
