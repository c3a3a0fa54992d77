#include <cstddef>
#include <cstdint>
#include <string_view>

#include "registry/registries_conf.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text{reinterpret_cast<const char*>(data), size};
    auto conf = hull::registry::parse_registries_conf(text, "fuzz");
    if (!conf) return 0;
    auto found = hull::registry::choose_sources(*conf, "docker.io", "library/debian", false);
    if (found && found->empty()) __builtin_trap();
    return 0;
}
