#include "kernel/cgroup_stats.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/cgroup_file.hpp"
#include "kernel/cgroup_tree.hpp"

namespace hull::kernel {
namespace {

constexpr uint64_t kNanosecondsPerMicrosecond = 1000;
/// cpuacct.stat counts in USER_HZ, 1/100 s on every architecture of Linux's ABI.
constexpr uint64_t kNanosecondsPerTick = 10'000'000;

using FlatKeyed = std::vector<std::pair<std::string, uint64_t>>;

uint64_t value_of(const FlatKeyed& values, std::string_view key) {
    for (const auto& [name, value] : values)
        if (name == key) return value;
    return 0;
}

FlatKeyed read_keyed(int directory, const char* file) {
    return parse_flat_keyed(read_cgroup_file_or_empty(directory, file));
}

/// One number; "max" is UINT64_MAX, a missing file 0.
uint64_t read_value(int directory, const std::string& file) {
    const std::string text = read_cgroup_file_or_empty(directory, file);
    if (trim(text) == "max") return UINT64_MAX;
    return parse_number<uint64_t>(trim(text)).value_or(0);
}

std::vector<BlockIoEntry> read_blkio(int directory, const char* file) {
    return parse_blkio_v1(read_cgroup_file_or_empty(directory, file));
}

MemoryCounter read_v1_counter(int directory, const std::string& prefix) {
    return {.usage = read_value(directory, prefix + ".usage_in_bytes"),
            .max_usage = read_value(directory, prefix + ".max_usage_in_bytes"),
            .limit = read_value(directory, prefix + ".limit_in_bytes"),
            .failures = read_value(directory, prefix + ".failcnt")};
}

void read_v1_cpu(CpuStats& stats, int cpu, int cpuacct) {
    if (cpu >= 0) {
        auto values = read_keyed(cpu, "cpu.stat");
        stats.periods = value_of(values, "nr_periods");
        stats.throttled_periods = value_of(values, "nr_throttled");
        stats.throttled_time = value_of(values, "throttled_time");
        stats.burst_periods = value_of(values, "nr_bursts");
        stats.burst_time = value_of(values, "burst_time");
    }
    if (cpuacct < 0) return;
    stats.total = read_value(cpuacct, "cpuacct.usage");
    auto ticks = read_keyed(cpuacct, "cpuacct.stat");
    stats.user = value_of(ticks, "user") * kNanosecondsPerTick;
    stats.kernel = value_of(ticks, "system") * kNanosecondsPerTick;
    for (auto word : split(trim(read_cgroup_file_or_empty(cpuacct, "cpuacct.usage_percpu")), ' '))
        if (auto value = parse_number<uint64_t>(word)) stats.per_cpu.push_back(*value);
    parse_usage_all(read_cgroup_file_or_empty(cpuacct, "cpuacct.usage_all"), stats);
}

void read_v1_cpuset(CgroupStats& stats, int directory) {
    constexpr std::array<std::string_view, 9> kFlags = {
        "cpu_exclusive",   "mem_hardwall",       "mem_exclusive",
        "memory_migrate",  "memory_spread_page", "memory_spread_slab",
        "memory_pressure", "sched_load_balance", "sched_relax_domain_level"};
    for (auto name : kFlags) {
        const auto text = read_cgroup_file_or_empty(directory, fmt::format("cpuset.{}", name));
        stats.cpuset_flags.emplace_back(name, parse_number<int64_t>(trim(text)).value_or(0));
    }
}

void read_v1_memory(MemoryStats& stats, int directory) {
    stats.raw = read_keyed(directory, "memory.stat");
    stats.cache = value_of(stats.raw, "cache");
    stats.memory = read_v1_counter(directory, "memory");
    if (has_cgroup_file(directory, "memory.memsw.usage_in_bytes"))
        stats.swap = read_v1_counter(directory, "memory.memsw");
    stats.kernel = read_v1_counter(directory, "memory.kmem");
    stats.kernel_tcp = read_v1_counter(directory, "memory.kmem.tcp");
    stats.use_hierarchy = read_value(directory, "memory.use_hierarchy") == 1;
    stats.oom_kills = value_of(read_keyed(directory, "memory.oom_control"), "oom_kill");
}

void read_v1_block_io(BlockIoStats& stats, int directory) {
    const bool has_bfq = has_cgroup_file(directory, "blkio.bfq.io_serviced_recursive");
    if (has_bfq) {
        stats.service_bytes = read_blkio(directory, "blkio.bfq.io_service_bytes_recursive");
        stats.serviced = read_blkio(directory, "blkio.bfq.io_serviced_recursive");
    }
    // Without a weight-aware scheduler on the disk only the throttling layer counts.
    if (stats.service_bytes.empty() && stats.serviced.empty()) {
        stats.service_bytes = read_blkio(directory, "blkio.throttle.io_service_bytes_recursive");
        stats.serviced = read_blkio(directory, "blkio.throttle.io_serviced_recursive");
    }
    if (!has_bfq) return;
    stats.queued = read_blkio(directory, "blkio.bfq.io_queued_recursive");
    stats.service_time = read_blkio(directory, "blkio.bfq.io_service_time_recursive");
    stats.wait_time = read_blkio(directory, "blkio.bfq.io_wait_time_recursive");
    stats.merged = read_blkio(directory, "blkio.bfq.io_merged_recursive");
    stats.time = read_blkio(directory, "blkio.bfq.time_recursive");
    stats.sectors = read_blkio(directory, "blkio.bfq.sectors_recursive");
}

void read_v2_cpu(CpuStats& stats, int directory) {
    auto values = read_keyed(directory, "cpu.stat");
    auto nanoseconds = [&](const char* key) {
        return value_of(values, key) * kNanosecondsPerMicrosecond;
    };
    stats.total = nanoseconds("usage_usec");
    stats.user = nanoseconds("user_usec");
    stats.kernel = nanoseconds("system_usec");
    stats.periods = value_of(values, "nr_periods");
    stats.throttled_periods = value_of(values, "nr_throttled");
    stats.throttled_time = nanoseconds("throttled_usec");
    stats.burst_periods = value_of(values, "nr_bursts");
    stats.burst_time = nanoseconds("burst_usec");
    stats.pressure = parse_pressure(read_cgroup_file_or_empty(directory, "cpu.pressure"));
}

void read_v2_memory(MemoryStats& stats, int directory) {
    stats.raw = read_keyed(directory, "memory.stat");
    stats.cache = value_of(stats.raw, "file");
    auto events = read_keyed(directory, "memory.events");
    stats.memory = {.usage = read_value(directory, "memory.current"),
                    .max_usage = read_value(directory, "memory.peak"),
                    .limit = read_value(directory, "memory.max"),
                    .failures = value_of(events, "max")};
    stats.swap = {.usage = read_value(directory, "memory.swap.current"),
                  .max_usage = read_value(directory, "memory.swap.peak"),
                  .limit = read_value(directory, "memory.swap.max"),
                  .failures = value_of(read_keyed(directory, "memory.swap.events"), "fail")};
    stats.kernel.usage = value_of(stats.raw, "kernel");
    stats.kernel_tcp.usage = value_of(stats.raw, "sock");
    stats.use_hierarchy = true;
    stats.oom_kills = value_of(events, "oom_kill");
    stats.pressure = parse_pressure(read_cgroup_file_or_empty(directory, "memory.pressure"));
}

/// "2MB" for each page size that `directory` has files of, from /sys/kernel/mm/hugepages' names.
std::vector<std::string> hugepage_sizes() {
    std::vector<std::string> sizes;
    for (const auto& name : nested_cgroups("/sys/kernel/mm/hugepages")) {
        std::string_view text = name;
        if (!text.starts_with("hugepages-") || !text.ends_with("kB")) continue;
        auto kib = parse_number<uint64_t>(text.substr(10, text.size() - 12));
        if (!kib) continue;
        if (*kib >= 1024 * 1024)
            sizes.push_back(fmt::format("{}GB", *kib / (1024 * 1024)));
        else if (*kib >= 1024)
            sizes.push_back(fmt::format("{}MB", *kib / 1024));
        else
            sizes.push_back(fmt::format("{}KB", *kib));
    }
    std::sort(sizes.begin(), sizes.end());
    return sizes;
}

std::vector<HugepageStats> read_hugepages(int directory, bool is_v2) {
    std::vector<HugepageStats> stats;
    for (const auto& size : hugepage_sizes()) {
        const std::string prefix = "hugetlb." + size + ".";
        if (!has_cgroup_file(directory, prefix + (is_v2 ? "current" : "usage_in_bytes"))) continue;
        HugepageStats entry{.page_size = size};
        if (is_v2) {
            entry.usage = read_value(directory, prefix + "current");
            entry.failures = value_of(read_keyed(directory, (prefix + "events").c_str()), "max");
        } else {
            entry.usage = read_value(directory, prefix + "usage_in_bytes");
            entry.max_usage = read_value(directory, prefix + "max_usage_in_bytes");
            entry.failures = read_value(directory, prefix + "failcnt");
        }
        stats.push_back(std::move(entry));
    }
    return stats;
}

}  // namespace

std::vector<std::pair<std::string, uint64_t>> parse_flat_keyed(std::string_view text) {
    FlatKeyed values;
    for (auto line : split_lines(text)) {
        const size_t blank = line.find(' ');
        if (blank == std::string_view::npos) continue;
        if (auto value = parse_number<uint64_t>(trim(line.substr(blank + 1))))
            values.emplace_back(line.substr(0, blank), *value);
    }
    return values;
}

std::optional<Pressure> parse_pressure(std::string_view text) {
    std::optional<Pressure> pressure;
    for (auto line : split_lines(text)) {
        auto words = split(line, ' ');
        if (words.empty() || (words[0] != "some" && words[0] != "full")) continue;
        if (!pressure) pressure.emplace();
        PressureLine& target = words[0] == "some" ? pressure->some : pressure->full;
        for (auto word : words) {
            const size_t sign = word.find('=');
            if (sign == std::string_view::npos) continue;
            const auto key = word.substr(0, sign);
            const auto value = word.substr(sign + 1);
            if (key == "total") {
                target.total = parse_number<uint64_t>(value).value_or(0);
                continue;
            }
            double number = 0;
            std::from_chars(value.data(), value.data() + value.size(), number);
            if (key == "avg10") target.average_10s = number;
            if (key == "avg60") target.average_60s = number;
            if (key == "avg300") target.average_300s = number;
        }
    }
    return pressure;
}

std::vector<BlockIoEntry> parse_blkio_v1(std::string_view text) {
    std::vector<BlockIoEntry> entries;
    for (auto line : split_lines(text)) {
        auto words = split(line, ' ');
        if (words.size() < 2) continue;
        auto device = split(words[0], ':');
        if (device.size() != 2) continue;  // "Total 0"
        auto major = parse_number<uint64_t>(device[0]);
        auto minor = parse_number<uint64_t>(device[1]);
        auto value = parse_number<uint64_t>(words.back());
        if (!major || !minor || !value) continue;
        entries.push_back({.major = *major,
                           .minor = *minor,
                           .operation = words.size() > 2 ? std::string(words[1]) : std::string(),
                           .value = *value});
    }
    return entries;
}

BlockIoStats parse_io_stat(std::string_view text) {
    BlockIoStats stats;
    for (auto line : split_lines(text)) {
        auto words = split(line, ' ');
        auto device = split(words[0], ':');
        if (device.size() != 2) continue;
        auto major = parse_number<uint64_t>(device[0]);
        auto minor = parse_number<uint64_t>(device[1]);
        if (!major || !minor) continue;
        for (auto word : words) {
            const size_t sign = word.find('=');
            if (sign == std::string_view::npos) continue;
            const auto key = word.substr(0, sign);
            auto value = parse_number<uint64_t>(word.substr(sign + 1));
            if (!value || key.empty()) continue;
            std::string operation = key[0] == 'r' ? "Read" : key[0] == 'w' ? "Write" : "Discard";
            BlockIoEntry entry{*major, *minor, std::move(operation), *value};
            if (key == "rbytes" || key == "wbytes" || key == "dbytes")
                stats.service_bytes.push_back(std::move(entry));
            else if (key == "rios" || key == "wios" || key == "dios")
                stats.serviced.push_back(std::move(entry));
        }
    }
    return stats;
}

void parse_usage_all(std::string_view text, CpuStats& stats) {
    for (auto line : split_lines(text)) {
        const auto columns = split(trim(line), ' ');
        if (columns.size() != 3) continue;
        const auto user = parse_number<uint64_t>(columns[1]);
        const auto kernel = parse_number<uint64_t>(columns[2]);
        if (!user || !kernel) continue;  // the title
        stats.per_cpu_user.push_back(*user);
        stats.per_cpu_kernel.push_back(*kernel);
    }
}

std::vector<RdmaStats> parse_rdma(std::string_view current, std::string_view limits) {
    std::vector<RdmaStats> stats;
    auto read = [&](std::string_view text, uint64_t RdmaStats::* handles,
                    uint64_t RdmaStats::* objects) {
        for (auto line : split_lines(text)) {
            auto words = split(line, ' ');
            if (words.size() < 2) continue;
            auto known = std::find_if(stats.begin(), stats.end(),
                                      [&](const auto& entry) { return entry.device == words[0]; });
            if (known == stats.end())
                known = stats.insert(stats.end(), {.device = std::string(words[0])});
            for (auto word : words) {
                const size_t sign = word.find('=');
                if (sign == std::string_view::npos) continue;
                const auto text_value = word.substr(sign + 1);
                const uint64_t value = text_value == "max"
                                           ? UINT64_MAX
                                           : parse_number<uint64_t>(text_value).value_or(0);
                if (word.substr(0, sign) == "hca_handle") (*known).*handles = value;
                if (word.substr(0, sign) == "hca_object") (*known).*objects = value;
            }
        }
    };
    read(current, &RdmaStats::handles, &RdmaStats::objects);
    read(limits, &RdmaStats::handles_limit, &RdmaStats::objects_limit);
    return stats;
}

Result<CgroupStats> Cgroup::stats() const {
    CgroupStats stats;
    const bool has_v2 = v2_.is_open();
    auto is_v1 = [&](std::string_view controller) {
        return std::any_of(v1_.begin(), v1_.end(), [&](const auto& entry) {
            return has_controller(entry.name, controller);
        });
    };
    if (is_v1("cpu") || is_v1("cpuacct"))
        read_v1_cpu(stats.cpu, v1_directory("cpu"), v1_directory("cpuacct"));
    else if (has_v2)
        read_v2_cpu(stats.cpu, v2_.get());
    if (int cpuset = is_v1("cpuset") ? v1_directory("cpuset") : v2_.get(); cpuset >= 0) {
        const char* dot = is_v1("cpuset") ? "cpuset.effective_" : "cpuset.";
        const char* end = is_v1("cpuset") ? "" : ".effective";
        stats.cpuset_cpus = read_cgroup_file_or_empty(cpuset, fmt::format("{}cpus{}", dot, end));
        stats.cpuset_mems = read_cgroup_file_or_empty(cpuset, fmt::format("{}mems{}", dot, end));
        if (is_v1("cpuset")) read_v1_cpuset(stats, cpuset);
    }
    if (int memory = v1_directory("memory"); memory >= 0)
        read_v1_memory(stats.memory, memory);
    else if (has_v2)
        read_v2_memory(stats.memory, v2_.get());
    if (int pids = is_v1("pids") ? v1_directory("pids") : v2_.get(); pids >= 0) {
        stats.pids = read_value(pids, "pids.current");
        const uint64_t limit = read_value(pids, "pids.max");
        stats.pids_limit = limit == UINT64_MAX ? 0 : limit;
    }
    if (int blkio = v1_directory("blkio"); blkio >= 0) {
        read_v1_block_io(stats.block_io, blkio);
    } else if (has_v2) {
        stats.block_io = parse_io_stat(read_cgroup_file_or_empty(v2_.get(), "io.stat"));
        stats.block_io.pressure =
            parse_pressure(read_cgroup_file_or_empty(v2_.get(), "io.pressure"));
    }
    if (int hugetlb = v1_directory("hugetlb"); hugetlb >= 0)
        stats.hugepages = read_hugepages(hugetlb, false);
    else if (has_v2)
        stats.hugepages = read_hugepages(v2_.get(), true);
    if (int rdma = is_v1("rdma") ? v1_directory("rdma") : v2_.get(); rdma >= 0)
        stats.rdma = parse_rdma(read_cgroup_file_or_empty(rdma, "rdma.current"),
                                read_cgroup_file_or_empty(rdma, "rdma.max"));
    return stats;
}

}  // namespace hull::kernel
