#include "runtime/control.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "base/file.hpp"
#include "base/json_writer.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "runtime/container.hpp"
#include "runtime/resource_names.hpp"
#include "runtime/resources_from_spec.hpp"
#include "runtime/stats_json.hpp"
#include "runtime/systemd_scope.hpp"
#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"

namespace hull::runtime {
namespace {

tl::unexpected<Error> wrong_status(const std::string& id, Status status, std::string_view wanted) {
    std::string word = status == Status::stopped ? "container not running"
                                                 : "container not " + std::string{wanted};
    return fail(Errc::conflict, word + ": " + id + " is " + std::string{status_name(status)});
}

Result<kernel::Cgroup> require_cgroup(const Container& container) {
    if (container.state.cgroups.empty())
        return fail(Errc::unsupported, "container " + container.state.id + " has no cgroup",
                    "it was made by an ordinary user without delegation, or with "
                    "--cgroup-manager=disabled");
    return container.open_cgroup();
}

/// The rules of an update take the place of those in config.json; the nodes of linux.devices and
/// the devices that every container has stay allowed.
Result<void> update_devices(const Container& container, const spec::Resources& resources,
                            kernel::Cgroup& cgroup) {
    const std::string path = container.config_path();
    auto config = TRY(spec::parse_runtime_config(TRY(read_file(path)), path));
    config.linux_.resources.devices = resources.devices;
    auto applied = cgroup.apply_device_rules(TRY(device_rules_from_spec(config.linux_)));
    if (applied || !container.state.is_rootless || applied.error().code != Errc::denied)
        return applied;
    log::debug("device rules left out: " + applied.error().to_string());
    return {};
}

}  // namespace

Result<void> pause_container(const Settings& settings, const std::string& id) {
    Container container = TRY(Container::open(settings.root, id));
    Status status = TRY(container.status());
    if (status != Status::running && status != Status::created)
        return wrong_status(id, status, "running or created");
    return TRY(require_cgroup(container)).freeze();
}

Result<void> resume_container(const Settings& settings, const std::string& id) {
    Container container = TRY(Container::open(settings.root, id));
    Status status = TRY(container.status());
    if (status != Status::paused) return wrong_status(id, status, "paused");
    return TRY(require_cgroup(container)).thaw();
}

Result<void> update_container(const Settings& settings, const std::string& id,
                              const spec::Resources& resources, const RdtUpdate& rdt) {
    Container container = TRY(Container::open(settings.root, id));
    Status status = TRY(container.status());
    if (status == Status::stopped) return wrong_status(id, status, "running");
    TRY(spec::refuse_violations(spec::check_resources(resources)));
    kernel::CgroupResources wanted = cgroup_resources_from_spec(resources);
    if (!container.state.systemd_unit.empty())
        TRY(update_systemd_scope(container.state.systemd_unit, wanted,
                                 container.state.is_rootless));
    const bool has_devices = !resources.devices.empty();
    if (wanted.has_limits() || has_devices || rdt.empty()) {
        auto cgroup = TRY(require_cgroup(container));
        if (auto updated = cgroup.update(wanted); !updated)
            return fail(name_resource(std::move(updated).error()));
        if (has_devices) TRY(update_devices(container, resources, cgroup));
    }
    return with_context(update_intel_rdt(container, rdt), "update");
}

Result<std::vector<pid_t>> processes_of(const Container& container) {
    if (!container.state.cgroups.empty()) {
        auto cgroup = container.open_cgroup();
        if (!cgroup && cgroup.error().code == Errc::not_found) return std::vector<pid_t>{};
        auto processes = TRY(TRY(std::move(cgroup)).processes(true));
        std::sort(processes.begin(), processes.end());
        return processes;
    }
    if (TRY(container.status()) == Status::stopped) return std::vector<pid_t>{};
    // Without a cgroup only the first process is known.
    return std::vector<pid_t>{container.state.process.pid};
}

Result<std::vector<pid_t>> container_processes(const Settings& settings, const std::string& id) {
    return processes_of(TRY(Container::open(settings.root, id)));
}

namespace {

Result<Container> open_running(const Settings& settings, const std::string& id) {
    Container container = TRY(Container::open(settings.root, id));
    if (TRY(container.status()) == Status::stopped)
        return fail(Errc::conflict,
                    "container not running: container with id " + id + " is not running");
    return container;
}

Result<void> print_line(const std::string& line) {
    return write_all(1, line + "\n");
}

std::string oom_event(const std::string& id) {
    JsonWriter out;
    out.begin_object();
    out.field("type", "oom");
    out.field("id", id);
    out.end_object();
    return out.take();
}

}  // namespace

Result<std::string> container_stats(const Settings& settings, const std::string& id) {
    Container container = TRY(open_running(settings, id));
    return format_stats_event(container.state, TRY(TRY(require_cgroup(container)).stats()));
}

Result<void> follow_events(const Settings& settings, const std::string& id,
                           std::chrono::milliseconds interval) {
    Container container = TRY(open_running(settings, id));
    Fd process = TRY(container.open_process());
    kernel::Cgroup cgroup = TRY(require_cgroup(container));
    uint64_t oom_kills = TRY(cgroup.stats()).memory.oom_kills;
    auto report_oom = [&]() -> Result<void> {
        auto stats = cgroup.stats();
        if (!stats) return {};  // it ends
        for (; oom_kills < stats->memory.oom_kills; ++oom_kills)
            TRY(print_line(oom_event(id)));
        return {};
    };
    auto next = std::chrono::steady_clock::now() + interval;
    // OOM kills are looked for more often than statistics are printed.
    const int step = static_cast<int>(std::min<int64_t>(interval.count(), 200));
    while (true) {
        pollfd wait{process.get(), POLLIN, 0};
        int ready = ::poll(&wait, 1, step);
        if (ready < 0 && errno != EINTR) return fail_errno(errno, "poll");
        TRY(report_oom());
        if (ready > 0) return {};
        if (std::chrono::steady_clock::now() < next) continue;
        next += interval;
        if (auto stats = cgroup.stats())
            TRY(print_line(format_stats_event(container.state, *stats)));
    }
}

}  // namespace hull::runtime
