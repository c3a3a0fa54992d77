#include <cstddef>
#include <cstdint>
#include <string_view>

#include "kernel/cgroup.hpp"
#include "kernel/resctrl.hpp"

// All parsers of what the kernel writes about cgroups: the first half of the input is mountinfo and
// each statistics file, the rest the own cgroup list.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const size_t cut = text.find('\f');
    const auto first = text.substr(0, cut);
    const auto second = cut == std::string_view::npos ? std::string_view() : text.substr(cut + 1);
    if (auto layout = hull::kernel::parse_cgroup_layout(first, second)) {
        (void)layout->mode();
        (void)layout->find_v1("memory");
    }
    (void)hull::kernel::parse_flat_keyed(first);
    (void)hull::kernel::parse_pressure(first);
    (void)hull::kernel::parse_blkio_v1(first);
    (void)hull::kernel::parse_io_stat(first);
    (void)hull::kernel::parse_rdma(first, second);
    hull::kernel::CpuStats stats;
    hull::kernel::parse_usage_all(first, stats);
    (void)hull::kernel::schemata_agree(first, {std::string(second)});
    return 0;
}
