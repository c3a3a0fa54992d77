#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "kernel/idmap.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    auto entries = hull::kernel::parse_subid_file(text, "subuid");
    if (entries)
        for (const auto& entry : *entries)
            if (entry.range.count == 0 || entry.owner.empty()) std::abort();
    auto map = hull::kernel::parse_id_map(text);
    if (map && *hull::kernel::parse_id_map(hull::kernel::format_id_map(*map)) != *map) std::abort();
    return 0;
}
