#include "kernel/cgroup.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include <fmt/format.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "kernel/cgroup_devices.hpp"
#include "kernel/cgroup_file.hpp"
#include "kernel/cgroup_tree.hpp"
#include "kernel/cgroup_v1.hpp"
#include "kernel/cgroup_v2.hpp"

namespace hull::kernel {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

void sleep_for(milliseconds time) {
    timespec request{.tv_sec = time.count() / 1000, .tv_nsec = (time.count() % 1000) * 1000000};
    nanosleep(&request, nullptr);
}

/// `own_path` of this process as seen below a mount that may show a part of the hierarchy only.
std::string below_mount(const std::string& own_path, const std::string& mount_root) {
    if (mount_root == "/" || mount_root.starts_with("/..")) return own_path;
    if (own_path == mount_root) return "/";
    if (own_path.starts_with(mount_root + "/")) return own_path.substr(mount_root.size());
    return own_path;
}

std::string resolve_v1(const CgroupV1Hierarchy& hierarchy, const std::string& path) {
    const std::string base = path.starts_with('/')
                                 ? std::string("/")
                                 : below_mount(hierarchy.own_path, hierarchy.mount_root);
    return clean_path(
        join_path(hierarchy.mount_point, clean_path("/" + base + "/" + clean_path("/" + path))));
}

std::string resolve_v2(const CgroupV2Hierarchy& hierarchy, bool is_pure, const std::string& path) {
    std::string base = "/";
    if (!path.starts_with('/')) {
        base = below_mount(hierarchy.own_path, hierarchy.mount_root);
        // A cgroup that holds processes cannot hand controllers down: go beside it, not below.
        if (is_pure) base = parent_path(base);
    }
    return clean_path(
        join_path(hierarchy.mount_point, clean_path("/" + base + "/" + clean_path("/" + path))));
}

Result<void> refuse_if_populated(const std::string& path) {
    auto pids = TRY(cgroup_processes(path, true));
    if (pids.empty()) return {};
    return fail(Errc::exists,
                fmt::format("cgroup {} is not empty: {} process(es) found", path, pids.size()),
                "another container uses it: choose another cgroupsPath or remove that container");
}

Result<void> give_to(const std::string& path, std::pair<uid_t, gid_t> owner,
                     std::initializer_list<const char*> files) {
    if (chown(path.c_str(), owner.first, owner.second) != 0)
        return fail_errno(errno, "give cgroup " + path + " to the container");
    for (const char* file : files) {
        const auto name = join_path(path, file);
        if (chown(name.c_str(), owner.first, owner.second) != 0 && errno != ENOENT)
            return fail_errno(errno, "give " + name + " to the container");
    }
    return {};
}

}  // namespace

Result<CgroupPaths> plan_cgroup_paths(const std::string& path) {
    const CgroupLayout* layout = TRY(cgroup_layout());
    CgroupPaths paths;
    for (const auto& hierarchy : layout->v1)
        paths.v1.emplace_back(hierarchy.name(), resolve_v1(hierarchy, path));
    if (layout->v2) paths.v2 = resolve_v2(*layout->v2, layout->mode() == CgroupMode::v2, path);
    return paths;
}

Result<Cgroup> Cgroup::create(const CgroupSettings& settings) {
    const CgroupLayout* layout = TRY(cgroup_layout());
    if (layout->mode() == CgroupMode::none)
        return fail(Errc::unsupported, "no cgroup hierarchy is mounted",
                    "mount one: mount -t cgroup2 none /sys/fs/cgroup");
    if (clean_path("/" + settings.path) == "/")
        return fail(Errc::invalid, "the cgroup path is empty: " + quote(settings.path),
                    "name a cgroup below the root");
    Cgroup group;
    auto made = group.make_v1(*layout, settings);
    if (made) made = group.make_v2(*layout, settings);
    if (made && group.paths_.empty())
        made =
            fail(Errc::denied, "no cgroup may be made by this user",
                 "have systemd delegate one (loginctl enable-linger, systemd-run --user), or ask "
                 "for no limits");
    if (made) made = group.configure(settings);
    if (!made) {
        group.remove_made();
        return fail(std::move(made).error().with_context("create cgroup " + settings.path));
    }
    return group;
}

Result<void> Cgroup::make_v1(const CgroupLayout& layout, const CgroupSettings& settings) {
    for (const auto& hierarchy : layout.v1) {
        V1Directory entry;
        entry.name = hierarchy.name();
        entry.path = resolve_v1(hierarchy, settings.path);
        const bool is_cpuset = has_controller(entry.name, "cpuset");
        auto made = make_cgroup_directory(hierarchy.mount_point, entry.path, is_cpuset);
        if (!made) {
            if (settings.is_rootless && made.error().code == Errc::denied) continue;
            return fail(std::move(made).error());
        }
        entry.is_made = *made;
        const std::string path = entry.path;
        const bool is_systemd = hierarchy.controllers.front() == "name=systemd";
        v1_.push_back(std::move(entry));
        paths_.v1.emplace_back(v1_.back().name, path);
        if (!*made && !settings.is_prepared) TRY(refuse_if_populated(path));
        v1_.back().tasks = TRY(open_path(join_path(path, "tasks"), O_WRONLY));
        if (settings.delegate_to && is_systemd)
            TRY(give_to(path, *settings.delegate_to, {"cgroup.procs", "tasks"}));
    }
    return {};
}

Result<void> Cgroup::make_v2(const CgroupLayout& layout, const CgroupSettings& settings) {
    if (!layout.v2) return {};
    const bool is_pure = layout.mode() == CgroupMode::v2;
    const std::string path = resolve_v2(*layout.v2, is_pure, settings.path);
    auto made = make_cgroup_directory(layout.v2->mount_point, path, false);
    if (!made) {
        // Beside v1 the v2 directory is a convenience: kill and freeze work without it.
        if (made.error().code == Errc::denied && (settings.is_rootless || !is_pure)) return {};
        return fail(std::move(made).error());
    }
    paths_.v2 = path;
    is_v2_made_ = *made;
    if (!*made && !settings.is_prepared) TRY(refuse_if_populated(path));
    v2_ = TRY(open_path(path, O_PATH | O_DIRECTORY));
    auto needed = needed_v2_controllers(settings.resources, layout);
    if (!needed.empty()) TRY(enable_v2_controllers(*layout.v2, path, needed));
    if (settings.delegate_to)
        TRY(give_to(path, *settings.delegate_to,
                    {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads", "memory.oom.group",
                     "memory.reclaim"}));
    return {};
}

Result<void> Cgroup::configure(const CgroupSettings& settings) {
    TRY(apply(settings.resources, true));
    if (!settings.device_rules) return {};
    auto applied = apply_device_rules(*settings.device_rules);
    if (!applied && settings.is_rootless && applied.error().code == Errc::denied) {
        log::debug("device policy left out: " + applied.error().to_string());
        return {};
    }
    return applied;
}

Result<void> Cgroup::apply(const CgroupResources& resources, bool is_new) {
    const CgroupLayout* layout = TRY(cgroup_layout());
    if (resources.memory.kernel.value_or(0) != 0)
        log::warning("the kernel memory limit is ignored: Linux has none since 5.16");
    const auto needed = resources.needed_controllers();
    for (auto controller : needed) {
        const bool is_present = std::any_of(v1_.begin(), v1_.end(), [&](const auto& entry) {
            return has_controller(entry.name, controller);
        });
        if (is_present) continue;
        if (layout->find_v1(controller) != nullptr)
            return fail(Errc::denied,
                        fmt::format("the cgroup of controller {} is not this user's", controller),
                        "run as root, or ask for no limit that needs it");
        if (!v2_ || controller == "net_cls" || controller == "net_prio")
            return fail(Errc::unsupported,
                        fmt::format("this machine has no cgroup controller {}", controller),
                        "leave the limits that need it out");
    }
    if (is_new) {
        TRY(open_v1(needed));
    } else {
        for (const auto& entry : v1_)
            if (!entry.directory) v1_directory(split(entry.name, ',').front());
    }
    std::vector<ControllerDirectory> directories;
    for (const auto& entry : v1_)
        directories.push_back({entry.name, entry.directory.get()});
    const CgroupApply how{.is_new = is_new};
    TRY(apply_v1_resources(directories, resources, how));
    if (v2_) return apply_v2_resources(v2_.get(), directories, resources, how);
    if (!resources.unified.empty())
        return fail(Errc::unsupported, "unified resources need cgroup v2, which is not mounted",
                    "leave linux.resources.unified out");
    return {};
}

Result<void> Cgroup::open_v1(const std::vector<std::string_view>& controllers) {
    for (auto controller : controllers) {
        for (auto& entry : v1_) {
            if (entry.directory || !has_controller(entry.name, controller)) continue;
            entry.directory = TRY(open_path(entry.path, O_PATH | O_DIRECTORY));
        }
    }
    return {};
}

int Cgroup::v1_directory(std::string_view controller) const {
    for (auto& entry : v1_) {
        if (!has_controller(entry.name, controller)) continue;
        if (!entry.directory)
            entry.directory.reset(::open(entry.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        return entry.directory.get();
    }
    return -1;
}

void Cgroup::remove_made() {
    for (const auto& entry : v1_)
        if (entry.is_made) rmdir(entry.path.c_str());
    if (is_v2_made_) rmdir(paths_.v2.c_str());
}

Result<Cgroup> Cgroup::open(const CgroupPaths& paths, CgroupUse use) {
    Cgroup group;
    for (const auto& [name, path] : paths.v1) {
        V1Directory entry;
        entry.name = name;
        entry.path = path;
        if (use == CgroupUse::join) {
            auto tasks = open_path(join_path(path, "tasks"), O_WRONLY);
            if (!tasks) return fail(std::move(tasks).error().with_context("join cgroup " + path));
            entry.tasks = std::move(*tasks);
        } else if (access(path.c_str(), F_OK) != 0) {
            continue;
        }
        group.v1_.push_back(std::move(entry));
        group.paths_.v1.emplace_back(name, path);
    }
    if (!paths.v2.empty()) {
        auto directory = open_path(paths.v2, O_PATH | O_DIRECTORY);
        if (directory) {
            group.v2_ = std::move(*directory);
            group.paths_.v2 = paths.v2;
        } else if (use == CgroupUse::join || directory.error().code != Errc::not_found) {
            return fail(std::move(directory).error().with_context("open cgroup " + paths.v2));
        }
    }
    return group;
}

std::vector<int> Cgroup::v1_tasks() const {
    std::vector<int> fds;
    for (const auto& entry : v1_)
        if (entry.tasks) fds.push_back(entry.tasks.get());
    return fds;
}

Result<void> Cgroup::update(const CgroupResources& resources) {
    const CgroupLayout* layout = TRY(cgroup_layout());
    if (layout->v2 && v2_) {
        auto needed = needed_v2_controllers(resources, *layout);
        if (!needed.empty()) TRY(enable_v2_controllers(*layout->v2, paths_.v2, needed));
    }
    return with_context(apply(resources, false), "update cgroup");
}

Result<void> Cgroup::apply_device_rules(const std::vector<DeviceRule>& rules) {
    if (int directory = v1_directory("devices"); directory >= 0)
        return apply_v1_devices(directory, rules);
    if (v2_ && TRY(cgroup_layout())->find_v1("devices") == nullptr)
        return apply_v2_devices(v2_.get(), rules);
    return fail(Errc::denied, "the devices cgroup is not this user's",
                "run as root, or leave the device rules out");
}

Result<bool> Cgroup::is_frozen() const {
    if (v2_ && read_cgroup_file_or_empty(v2_.get(), "cgroup.freeze") == "1") return true;
    const int freezer = v1_directory("freezer");
    if (freezer < 0) return false;
    const auto state = read_cgroup_file_or_empty(freezer, "freezer.state");
    return state == "FROZEN" || state == "FREEZING";
}

namespace {

Result<void> freeze_v2(int directory) {
    auto events = TRY(open_at(directory, "cgroup.events", O_RDONLY));
    TRY(write_cgroup_file(directory, "cgroup.freeze", "1"));
    const auto deadline = Clock::now() + std::chrono::seconds(10);
    while (Clock::now() < deadline) {
        // The file tells of a change by POLLPRI.
        if (read_cgroup_file_or_empty(directory, "cgroup.events").find("frozen 1") !=
            std::string::npos)
            return {};
        pollfd wait{.fd = events.get(), .events = POLLPRI, .revents = 0};
        poll(&wait, 1, 10);
    }
    auto undone = write_cgroup_file(directory, "cgroup.freeze", "0");
    return fail(Errc::timeout, "the processes did not freeze within 10 seconds",
                "one of them waits in the kernel; try again");
}

Result<void> freeze_v1(int directory) {
    const auto deadline = Clock::now() + std::chrono::seconds(10);
    for (int attempt = 1; Clock::now() < deadline; ++attempt) {
        // A fork at the wrong moment keeps the state at FREEZING until it is written anew.
        TRY(write_cgroup_file(directory, "freezer.state", "FROZEN"));
        if (TRY(read_cgroup_file(directory, "freezer.state")) == "FROZEN") return {};
        if (attempt % 50 == 0) TRY(write_cgroup_file(directory, "freezer.state", "THAWED"));
        sleep_for(milliseconds(1));
    }
    auto undone = write_cgroup_file(directory, "freezer.state", "THAWED");
    return fail(Errc::timeout, "the processes did not freeze within 10 seconds",
                "one of them waits in the kernel; try again");
}

}  // namespace

Result<void> Cgroup::freeze() {
    if (v2_ && has_cgroup_file(v2_.get(), "cgroup.freeze"))
        return with_context(freeze_v2(v2_.get()), "freeze");
    if (int freezer = v1_directory("freezer"); freezer >= 0)
        return with_context(freeze_v1(freezer), "freeze");
    return fail(Errc::unsupported, "freeze: the container has no cgroup that can freeze",
                "it needs cgroup v2 (kernel 5.2) or the freezer controller");
}

Result<void> Cgroup::thaw() {
    if (v2_) TRY(write_cgroup_file_if_present(v2_.get(), "cgroup.freeze", "0"));
    if (int freezer = v1_directory("freezer"); freezer >= 0)
        TRY(write_cgroup_file(freezer, "freezer.state", "THAWED"));
    return {};
}

Result<std::vector<pid_t>> Cgroup::processes(bool recursive) const {
    if (!paths_.v2.empty()) return cgroup_processes(paths_.v2, recursive);
    for (const char* controller : {"pids", "freezer", "devices", "memory", "cpu"})
        for (const auto& entry : v1_)
            if (has_controller(entry.name, controller))
                return cgroup_processes(entry.path, recursive);
    if (!v1_.empty()) return cgroup_processes(v1_.front().path, recursive);
    return std::vector<pid_t>();
}

Result<void> Cgroup::kill_all(int signal) {
    if (signal == SIGKILL && v2_) {
        auto killed = write_cgroup_file_if_present(v2_.get(), "cgroup.kill", "1");
        // Threaded cgroups refuse it with EOPNOTSUPP.
        if (killed && *killed) {
            if (int freezer = v1_directory("freezer"); freezer >= 0)
                TRY(write_cgroup_file_if_present(freezer, "freezer.state", "THAWED"));
            return {};
        }
    }
    if (signal != SIGKILL) {
        for (pid_t pid : TRY(processes(true)))
            if (::kill(pid, signal) != 0 && errno != ESRCH)
                return fail_errno(errno, fmt::format("send signal {} to process {}", signal, pid));
        return {};
    }
    return kill_frozen(signal);
}

/// Frozen processes cannot fork between the list and the signal.
Result<void> Cgroup::kill_frozen(int signal) {
    const bool is_held = freeze().has_value();
    Result<void> result;
    for (int round = 0; round < (is_held ? 1 : 10) && result; ++round) {
        auto pids = processes(true);
        if (!pids) {
            result = fail(std::move(pids).error());
            break;
        }
        if (pids->empty()) break;
        for (pid_t pid : *pids)
            if (::kill(pid, signal) != 0 && errno != ESRCH)
                result = fail_errno(errno, fmt::format("kill process {}", pid));
        if (!is_held) sleep_for(milliseconds(1));
    }
    auto thawed = thaw();
    return result ? thawed : result;
}

Result<void> Cgroup::destroy() {
    std::vector<std::string> left;
    for (const auto& entry : v1_)
        left.push_back(entry.path);
    if (!paths_.v2.empty()) left.push_back(paths_.v2);
    auto remove_all = [&]() -> Result<void> {
        std::vector<std::string> busy;
        for (const auto& path : left)
            if (!TRY(try_remove_cgroup(path))) busy.push_back(path);
        left = std::move(busy);
        return {};
    };
    TRY(remove_all());
    const auto deadline = Clock::now() + std::chrono::seconds(2);
    for (milliseconds pause(1); !left.empty(); pause = std::min(pause * 2, milliseconds(50))) {
        TRY(kill_all(SIGKILL));
        if (Clock::now() > deadline)
            return fail(Errc::conflict, "remove cgroup " + left.front() + ": still busy",
                        "a process in it does not die; look at its cgroup.procs");
        sleep_for(pause);
        TRY(remove_all());
    }
    return {};
}

bool Cgroup::is_gone() const {
    for (const auto& entry : v1_)
        if (access(entry.path.c_str(), F_OK) == 0) return false;
    return paths_.v2.empty() || access(paths_.v2.c_str(), F_OK) != 0;
}

}  // namespace hull::kernel
