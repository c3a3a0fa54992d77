#include "runtime/create_cgroup.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/launch.hpp"
#include "runtime/create.hpp"
#include "runtime/resource_names.hpp"
#include "runtime/resources_from_spec.hpp"

namespace hull::runtime {
namespace {

constexpr std::string_view kSystemdProperty = "org.systemd.property.";
constexpr const char* kSystemdSubgroup = "run.oci.systemd.subgroup";
constexpr const char* kDelegateCgroup = "run.oci.delegate-cgroup";

/// The host's id of the container's root, when a user namespace shifts it.
std::optional<std::pair<uid_t, gid_t>> shifted_root(const spec::Linux& section) {
    auto find = [](const std::vector<spec::IdMapping>& mappings) -> std::optional<uint32_t> {
        for (const auto& mapping : mappings)
            if (mapping.container_id == 0 && mapping.size > 0) return mapping.host_id;
        return std::nullopt;
    };
    auto uid = find(section.uid_mappings);
    auto gid = find(section.gid_mappings);
    if (!uid || !gid || (*uid == 0 && *gid == 0)) return std::nullopt;
    return std::pair<uid_t, gid_t>{*uid, *gid};
}

/// A container that has a cgroup namespace and a writable view of it manages its own subtree.
bool wants_delegation(const spec::RuntimeConfig& config) {
    if (config.linux_.find_namespace("cgroup") == nullptr) return false;
    for (const auto& mount : config.mounts) {
        if (mount.type != "cgroup" && mount.type != "cgroup2") continue;
        bool is_read_only = false;
        for (const auto& option : mount.options)
            is_read_only = option == "ro" || (option != "rw" && is_read_only);
        return !is_read_only;
    }
    return false;
}

Result<kernel::CgroupSettings> cgroup_settings(const Settings& settings,
                                               const spec::RuntimeConfig& config,
                                               const ContainerState& state) {
    kernel::CgroupSettings wanted;
    wanted.path = state.cgroup_path;
    wanted.resources = cgroup_resources_from_spec(config.linux_.resources);
    wanted.device_rules = TRY(device_rules_from_spec(config.linux_));
    wanted.is_rootless = settings.is_rootless();
    if (wants_delegation(config)) wanted.delegate_to = shifted_root(config.linux_);
    return wanted;
}

}  // namespace

Result<void> plan_cgroup(const Settings& settings, const spec::RuntimeConfig& config,
                         ContainerState& state) {
    const std::string& asked = config.linux_.cgroups_path;
    if (settings.cgroup_manager == CgroupManager::disabled) return {};
    if (settings.cgroup_manager == CgroupManager::systemd) {
        auto name =
            TRY(with_context(parse_systemd_cgroup_name(asked, state.id, settings.is_rootless()),
                             "linux.cgroupsPath"));
        state.systemd_unit = name.unit();
        return {};
    }
    if (!asked.empty())
        state.cgroup_path = asked;
    else
        state.cgroup_path = (settings.is_rootless() ? "hull/" : "/hull/") + state.id;
    auto planned = kernel::plan_cgroup_paths(state.cgroup_path);
    if (planned) state.cgroups = std::move(*planned);
    state.cgroups_are_planned = true;
    return {};
}

namespace {

/// The scope's cgroup, with a process of ours in it so that it stays.
Result<ScopeKeeper> create_scope(const Settings& settings, const spec::RuntimeConfig& config,
                                 ContainerState& state) {
    if (settings.is_rootless()) TRY(enter_user_scope());
    auto keeper = TRY(ScopeKeeper::create());
    SystemdScopeRequest scope;
    scope.name = TRY(
        parse_systemd_cgroup_name(config.linux_.cgroups_path, state.id, settings.is_rootless()));
    scope.description = "hull container " + state.id;
    scope.pids = {keeper.pid()};
    scope.resources = cgroup_resources_from_spec(config.linux_.resources);
    for (const auto& [name, value] : config.annotations)
        if (name.starts_with(kSystemdProperty))
            scope.properties.emplace_back(name.substr(kSystemdProperty.size()), value);
    scope.is_user_bus = settings.is_rootless();
    state.cgroup_path = TRY(start_systemd_scope(scope));
    for (const auto& [name, value] : config.annotations)
        if (name == kSystemdSubgroup && !value.empty())
            state.cgroup_path = TRY(make_scope_subgroup(state.cgroup_path, value, keeper));
    return keeper;
}

/// The cgroup that annotation run.oci.delegate-cgroup asks for, below the container's own.
/// @return  its cgroup.procs; not open: nothing was asked for
Result<Fd> make_delegated(const spec::RuntimeConfig& config, const kernel::CgroupSettings& settings,
                          const kernel::Cgroup& cgroup) {
    const auto* name = config.find_annotation(kDelegateCgroup);
    if (name == nullptr || name->empty()) return Fd{};
    if (*name == "." || *name == ".." || name->find('/') != std::string::npos)
        return fail(Errc::invalid, quote(*name) + " is no name", "give one name without slashes");
    if (cgroup.v2_directory() < 0)
        return fail(Errc::unsupported, "needs cgroup v2: v1 cannot be delegated safely",
                    "leave it out");
    const std::string directory = join_path(cgroup.paths().v2, *name);
    TRY(create_directories(directory));
    Fd procs = TRY(open_path(join_path(directory, "cgroup.procs"), O_WRONLY));
    if (settings.delegate_to)
        for (const auto& path : {directory, join_path(directory, "cgroup.procs"),
                                 join_path(directory, "cgroup.subtree_control"),
                                 join_path(directory, "cgroup.threads")})
            if (::chown(path.c_str(), settings.delegate_to->first, settings.delegate_to->second) <
                    0 &&
                errno != ENOENT)
                return fail_errno(errno, "give " + path + " to the container");
    return procs;
}

/// An ordinary user who asked for no limit gets none.
bool may_do_without(const Settings& settings, const kernel::CgroupSettings& wanted,
                    const Error& error) {
    return settings.is_rootless() && !wanted.resources.has_limits() &&
           (error.code == Errc::denied || error.code == Errc::unsupported ||
            error.sys_errno == EROFS);
}

}  // namespace

Result<NewCgroup> create_cgroup(const Settings& settings, const spec::RuntimeConfig& config,
                                ContainerState& state) {
    NewCgroup made;
    if (settings.cgroup_manager == CgroupManager::disabled) return made;
    if (settings.cgroup_manager == CgroupManager::systemd)
        made.keeper.emplace(TRY(create_scope(settings, config, state)));
    auto wanted = TRY(cgroup_settings(settings, config, state));
    wanted.is_prepared = made.keeper.has_value();
    auto cgroup = kernel::Cgroup::create(wanted);
    state.cgroups_are_planned = false;
    if (cgroup) {
        state.cgroups = cgroup->paths();
        made.cgroup = std::move(*cgroup);
        made.delegated = TRY(with_context(make_delegated(config, wanted, *made.cgroup),
                                          std::string{"annotation "} + kDelegateCgroup));
        return made;
    }
    // What was made is removed again: nothing of this path is ours.
    state.cgroups = {};
    if (!may_do_without(settings, wanted, cgroup.error()))
        return fail(
            name_resource(std::move(cgroup).error().with_context("create the container's cgroup")));
    log::debug("the container has no cgroup: " + cgroup.error().to_string());
    return made;
}

std::vector<jail::CgroupView> cgroup_views(const kernel::CgroupPaths& paths) {
    std::vector<jail::CgroupView> views;
    auto layout = kernel::cgroup_layout();
    if (!layout) return views;
    for (const auto& [name, directory] : paths.v1)
        for (const auto& hierarchy : (*layout)->v1)
            if (hierarchy.name() == name)
                views.push_back({.name = base_name(hierarchy.mount_point), .directory = directory});
    if (!paths.v2.empty() && (*layout)->v2) {
        bool is_pure = (*layout)->mode() == kernel::CgroupMode::v2;
        views.push_back(
            {.name = is_pure ? "" : base_name((*layout)->v2->mount_point), .directory = paths.v2});
    }
    return views;
}

}  // namespace hull::runtime
