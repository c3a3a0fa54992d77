#include <cstddef>
#include <cstdint>

#include "engine/mounts.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view input(reinterpret_cast<const char*>(data), size);
    (void)hull::engine::parse_volume_option(input);
    (void)hull::engine::parse_mount_option(input);
    (void)hull::engine::parse_tmpfs_option(input);
    return 0;
}
