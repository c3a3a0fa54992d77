#include "runtime/stats_json.hpp"

#include <algorithm>
#include <array>

#include "base/json_writer.hpp"
#include "base/text.hpp"
#include "runtime/intel_rdt.hpp"

namespace hull::runtime {
namespace {

void write_pressure_line(JsonWriter& out, std::string_view name, const kernel::PressureLine& line) {
    out.begin_object(name);
    out.field("avg10", line.average_10s);
    out.field("avg60", line.average_60s);
    out.field("avg300", line.average_300s);
    out.field("total", line.total);
    out.end_object();
}

void write_pressure(JsonWriter& out, const std::optional<kernel::Pressure>& pressure) {
    if (!pressure) return;
    out.begin_object("psi");
    write_pressure_line(out, "some", pressure->some);
    write_pressure_line(out, "full", pressure->full);
    out.end_object();
}

void write_times(JsonWriter& out, std::string_view name, const std::vector<uint64_t>& times) {
    if (times.empty()) return;
    out.begin_array(name);
    for (uint64_t time : times)
        out.value(time);
    out.end_array();
}

void write_cpu(JsonWriter& out, const kernel::CpuStats& cpu) {
    out.begin_object("cpu");
    out.begin_object("usage");
    out.field("total", cpu.total);
    write_times(out, "percpu", cpu.per_cpu);
    write_times(out, "percpu_kernel", cpu.per_cpu_kernel);
    write_times(out, "percpu_user", cpu.per_cpu_user);
    out.field("kernel", cpu.kernel);
    out.field("user", cpu.user);
    out.end_object();
    out.begin_object("throttling");
    out.field("periods", cpu.periods);
    out.field("throttledPeriods", cpu.throttled_periods);
    out.field("throttledTime", cpu.throttled_time);
    out.end_object();
    write_pressure(out, cpu.pressure);
    out.end_object();
}

/// "0-3,7" as numbers.
void write_list(JsonWriter& out, std::string_view name, std::string_view list) {
    out.begin_array(name);
    for (auto part : split(trim(list), ',')) {
        size_t dash = part.find('-');
        auto first = parse_number<uint32_t>(part.substr(0, dash));
        auto last =
            dash == std::string_view::npos ? first : parse_number<uint32_t>(part.substr(dash + 1));
        if (!first || !last || *last - *first > 8192) continue;
        for (uint32_t number = *first; number <= *last; ++number)
            out.value(number);
    }
    out.end_array();
}

void write_cpuset(JsonWriter& out, const kernel::CgroupStats& stats) {
    out.begin_object("cpuset");
    if (!stats.cpuset_cpus.empty()) write_list(out, "cpus", stats.cpuset_cpus);
    if (!stats.cpuset_mems.empty()) write_list(out, "mems", stats.cpuset_mems);
    // runc writes these always; v2 has none of them.
    constexpr std::array<std::string_view, 9> kFlags = {
        "cpu_exclusive",   "mem_hardwall",       "mem_exclusive",
        "memory_migrate",  "memory_spread_page", "memory_spread_slab",
        "memory_pressure", "sched_load_balance", "sched_relax_domain_level"};
    for (auto name : kFlags) {
        auto found = std::find_if(stats.cpuset_flags.begin(), stats.cpuset_flags.end(),
                                  [&](const auto& flag) { return flag.first == name; });
        out.field(name, found == stats.cpuset_flags.end() ? 0 : found->second);
    }
    out.end_object();
}

void write_counter(JsonWriter& out, std::string_view name, const kernel::MemoryCounter& counter) {
    out.begin_object(name);
    out.field("limit", counter.limit);
    out.field("usage", counter.usage);
    out.field("max", counter.max_usage);
    out.field("failcnt", counter.failures);
    out.end_object();
}

void write_memory(JsonWriter& out, const kernel::MemoryStats& memory) {
    out.begin_object("memory");
    out.field("cache", memory.cache);
    write_counter(out, "usage", memory.memory);
    write_counter(out, "swap", memory.swap);
    write_counter(out, "kernel", memory.kernel);
    write_counter(out, "kernelTCP", memory.kernel_tcp);
    if (!memory.raw.empty()) {
        out.begin_object("raw");
        for (const auto& [key, value] : memory.raw)
            out.field(key, value);
        out.end_object();
    }
    write_pressure(out, memory.pressure);
    out.end_object();
}

void write_io_entries(JsonWriter& out, std::string_view name,
                      const std::vector<kernel::BlockIoEntry>& entries) {
    if (entries.empty()) return;
    out.begin_array(name);
    for (const auto& entry : entries) {
        out.begin_object();
        out.field("major", entry.major);
        out.field("minor", entry.minor);
        out.optional_field("op", entry.operation);
        out.field("value", entry.value);
        out.end_object();
    }
    out.end_array();
}

void write_block_io(JsonWriter& out, const kernel::BlockIoStats& io) {
    out.begin_object("blkio");
    write_io_entries(out, "ioServiceBytesRecursive", io.service_bytes);
    write_io_entries(out, "ioServicedRecursive", io.serviced);
    write_io_entries(out, "ioQueueRecursive", io.queued);
    write_io_entries(out, "ioServiceTimeRecursive", io.service_time);
    write_io_entries(out, "ioWaitTimeRecursive", io.wait_time);
    write_io_entries(out, "ioMergedRecursive", io.merged);
    write_io_entries(out, "ioTimeRecursive", io.time);
    write_io_entries(out, "sectorsRecursive", io.sectors);
    write_pressure(out, io.pressure);
    out.end_object();
}

void write_hugepages(JsonWriter& out, const std::vector<kernel::HugepageStats>& sizes) {
    out.begin_object("hugetlb");
    for (const auto& size : sizes) {
        out.begin_object(size.page_size);
        out.field("usage", size.usage);
        out.field("max", size.max_usage);
        out.field("failcnt", size.failures);
        out.end_object();
    }
    out.end_object();
}

}  // namespace

std::string format_stats_event(const ContainerState& state, const kernel::CgroupStats& stats) {
    JsonWriter out;
    out.begin_object();
    out.field("type", "stats");
    out.field("id", state.id);
    out.begin_object("data");
    write_cpu(out, stats.cpu);
    write_cpuset(out, stats);
    write_memory(out, stats.memory);
    out.begin_object("pids");
    out.field("current", stats.pids);
    if (stats.pids_limit != 0) out.field("limit", stats.pids_limit);
    out.end_object();
    write_block_io(out, stats.block_io);
    write_hugepages(out, stats.hugepages);
    write_intel_rdt(out, state);
    out.raw_field("network_interfaces", "null");
    out.end_object();
    out.end_object();
    return out.take();
}

}  // namespace hull::runtime
