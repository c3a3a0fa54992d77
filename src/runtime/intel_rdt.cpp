#include "runtime/intel_rdt.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "runtime/control.hpp"

namespace hull::runtime {
namespace {

constexpr const char* kSection = "linux.intelRdt";

/// The line of one resource, "L3:0=ff".
std::string line_of(const std::vector<std::string>& schemata, std::string_view resource) {
    for (const auto& line : schemata)
        if (line.starts_with(resource)) return line;
    return {};
}

}  // namespace

kernel::ResctrlRequest resctrl_request(const spec::IntelRdt& section, const std::string& id) {
    kernel::ResctrlRequest request{.name = section.clos_id.empty() ? id : section.clos_id,
                                   .is_shared = !section.clos_id.empty()};
    // In this order: config-linux.md, IntelRdt.
    for (const auto& lines : {section.l3_cache_schema, section.mem_bw_schema})
        for (auto line : split_lines(lines))  // L3CODE and L3DATA come as two in one
            if (!line.empty()) request.schemata.emplace_back(line);
    request.schemata.insert(request.schemata.end(), section.schemata.begin(),
                            section.schemata.end());
    if (section.enable_monitoring) request.monitor = id;
    return request;
}

Result<void> plan_intel_rdt(const spec::RuntimeConfig& config, ContainerState& state) {
    const auto& section = config.linux_.intel_rdt;
    if (!section) return {};
    const auto root = TRY(with_context(kernel::find_resctrl(), kSection));
    state.resctrl = TRY(with_context(
        kernel::plan_resctrl_group(root, resctrl_request(*section, state.id)), kSection));
    return {};
}

Result<void> create_intel_rdt(const spec::RuntimeConfig& config, const ContainerState& state) {
    const auto& section = config.linux_.intel_rdt;
    if (!section) return {};
    const auto root = TRY(kernel::find_resctrl());
    return with_context(
        kernel::create_resctrl_group(root, resctrl_request(*section, state.id), state.resctrl),
        kSection);
}

Result<void> join_intel_rdt(const ContainerState& state) {
    if (state.resctrl.directory.empty()) return {};
    const auto root = TRY(kernel::find_resctrl());
    return with_context(kernel::join_resctrl_group(root, state.resctrl, state.process.pid),
                        kSection);
}

Result<void> update_intel_rdt(Container& container, const RdtUpdate& update) {
    if (update.empty()) return {};
    const auto root = TRY(kernel::find_resctrl());
    ContainerState& state = container.state;
    kernel::ResctrlRequest request{.name = state.id};
    for (const auto& line : {update.l3_cache_schema, update.mem_bw_schema})
        if (!line.empty()) request.schemata.push_back(line);
    if (!state.resctrl.directory.empty())
        return kernel::write_resctrl_schemata(root, state.resctrl, request.schemata);
    TRY(container.lock());
    state.resctrl = TRY(kernel::plan_resctrl_group(root, request));
    TRY(container.save());
    TRY(kernel::create_resctrl_group(root, request, state.resctrl));
    for (pid_t pid : TRY(processes_of(container)))
        TRY(kernel::join_resctrl_group(root, state.resctrl, pid));
    return {};
}

void write_resctrl_stats(JsonWriter& out, const kernel::ResctrlStats& stats) {
    if (stats.cache) {
        out.begin_object("l3_cache_info");
        out.field("cbm_mask", stats.cache->mask);
        out.field("min_cbm_bits", stats.cache->least_bits);
        out.field("num_closids", stats.cache->classes);
        out.end_object();
        out.optional_field("l3_cache_schema_root", line_of(stats.root_schemata, "L3"));
        out.optional_field("l3_cache_schema", line_of(stats.schemata, "L3"));
    }
    if (stats.bandwidth) {
        out.begin_object("mem_bw_info");
        out.field("bandwidth_gran", stats.bandwidth->granularity);
        out.field("delay_linear", stats.bandwidth->linear);
        out.field("min_bandwidth", stats.bandwidth->least);
        out.field("num_closids", stats.bandwidth->classes);
        out.end_object();
        out.optional_field("mem_bw_schema_root", line_of(stats.root_schemata, "MB"));
        out.optional_field("mem_bw_schema", line_of(stats.schemata, "MB"));
    }
    if (!stats.schemata.empty()) out.field("schemata", stats.schemata);
    const auto has = [&](auto member) {
        return std::any_of(stats.monitors.begin(), stats.monitors.end(),
                           [&](const auto& monitor) { return (monitor.*member).has_value(); });
    };
    using Monitor = kernel::ResctrlStats::Monitor;
    if (has(&Monitor::total_bytes) || has(&Monitor::local_bytes)) {
        out.begin_array("mbm_stats");
        for (const auto& monitor : stats.monitors) {
            out.begin_object();
            out.field("mbm_total_bytes", monitor.total_bytes.value_or(0));
            out.field("mbm_local_bytes", monitor.local_bytes.value_or(0));
            out.end_object();
        }
        out.end_array();
    }
    if (has(&Monitor::cache_bytes)) {
        out.begin_array("cmt_stats");
        for (const auto& monitor : stats.monitors) {
            out.begin_object();
            out.field("llc_occupancy", monitor.cache_bytes.value_or(0));
            out.end_object();
        }
        out.end_array();
    }
}

void write_intel_rdt(JsonWriter& out, const ContainerState& state) {
    out.begin_object("intel_rdt");
    if (!state.resctrl.directory.empty()) {
        auto root = kernel::find_resctrl();
        auto stats = root ? kernel::read_resctrl_stats(*root, state.resctrl)
                          : Result<kernel::ResctrlStats>{fail(std::move(root).error())};
        if (stats)
            write_resctrl_stats(out, *stats);
        else
            log::warning("statistics of resctrl: " + stats.error().to_string());
    }
    out.end_object();
}

}  // namespace hull::runtime
