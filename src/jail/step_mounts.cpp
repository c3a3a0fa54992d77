#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/copy_up.hpp"
#include "jail/mount_tools.hpp"
#include "jail/step.hpp"
#include "kernel/fs_context.hpp"
#include "kernel/mount.hpp"

// plan->mounts: each is built detached, gets its attributes while nobody can see it, and is
// attached by descriptor to a target that was opened once within the root.

namespace hull::jail {
namespace {

std::string name_of(const Plan& plan, size_t index) {
    return fmt::format("mounts[{}] ({})", index, plan.mounts[index].target);
}

// ---- in the parent ----

Result<Fd> clone_source(const MountPlan& mount) {
    return kernel::clone_mount(
        AT_FDCWD, mount.source,
        {.recursive = mount.recursive, .no_follow = mount.source_nofollow || mount.copy_symlink});
}

bool is_id_mapped(const MountPlan& mount) {
    return mount.id_map.enabled && !mount.remount;
}

}  // namespace

Result<void> open_mount_sources(LaunchSetup& setup) {
    const auto& mounts = setup.plan->mounts;
    setup.sources.resize(mounts.size());
    for (size_t i = 0; i < mounts.size(); ++i) {
        if (is_id_mapped(mounts[i]) && mounts[i].kind != MountKind::bind)
            return fail(Errc::unsupported, name_of(*setup.plan, i) + ": idmap is for bind mounts",
                        "make it a bind mount, or leave uidMappings and gidMappings out");
        if (mounts[i].kind != MountKind::bind || mounts[i].remount ||
            !setup.plan->has_user_namespace() || is_id_mapped(mounts[i]))
            continue;
        auto source = clone_source(mounts[i]);
        if (!source && is_left_to_child(setup, source.error())) continue;
        setup.sources[i] = TRY(with_context(std::move(source), name_of(*setup.plan, i)));
        // Our own peer group must not see what the container mounts below it.
        TRY(kernel::set_mount_attributes(setup.sources[i].get(),
                                         {.propagation = MS_SLAVE, .recursive = true}));
    }
    return {};
}

Result<void> map_mount_sources(LaunchSetup& setup) {
    const auto& mounts = setup.plan->mounts;
    for (size_t i = 0; i < mounts.size(); ++i) {
        if (!is_id_mapped(mounts[i])) continue;
        const auto& map = mounts[i].id_map;
        const auto name = name_of(*setup.plan, i);
        Fd mount = TRY(with_context(clone_source(mounts[i]), name));
        const Fd ids = TRY(with_context(open_id_map_namespace(map, setup.child), name));
        TRY(with_context(kernel::set_mount_attributes(mount.get(), {.propagation = MS_SLAVE,
                                                                    .idmap_namespace = ids.get(),
                                                                    .recursive = map.recursive}),
                         name));
        setup.mapped_sources.push_back(std::move(mount));
    }
    return {};
}

void take_mapped_sources(LaunchSetup& setup, std::vector<Fd> received) {
    auto next = received.begin();
    for (size_t i = 0; i < setup.plan->mounts.size(); ++i)
        if (is_id_mapped(setup.plan->mounts[i]) && next != received.end())
            setup.sources[i] = std::move(*next++);
}

// ---- in the child ----

namespace {

/// Attributes and propagation of a detached mount. A tmpfs gets "ro" when all is in it.
Result<void> set_attributes(int fd, const MountPlan& mount, uint64_t without = 0) {
    const auto& plain = mount.attributes;
    const auto& below = mount.recursive_attributes;
    const kernel::MountAttributes own{
        .set = plain.set & ~without,
        .clear = plain.clear,
        .propagation = mount.propagation.recursive ? 0 : propagation_flag(mount.propagation.kind)};
    if (own.set != 0 || own.clear != 0 || own.propagation != 0)
        TRY(kernel::set_mount_attributes(fd, own));
    const kernel::MountAttributes all{
        .set = below.set,
        .clear = below.clear,
        .propagation = mount.propagation.recursive ? propagation_flag(mount.propagation.kind) : 0,
        .recursive = true};
    if (all.set != 0 || all.clear != 0 || all.propagation != 0)
        TRY(kernel::set_mount_attributes(fd, all));
    return {};
}

Result<kernel::FilesystemRequest> filesystem_request(const Plan& plan, const MountPlan& mount,
                                                     uint64_t without) {
    kernel::FilesystemRequest request{.type = mount.type, .source = mount.source};
    request.attributes = (mount.attributes.set | mount.recursive_attributes.set) & ~without;
    for (const auto& parameter : mount.parameters) {
        const size_t equals = parameter.find('=');
        if (equals == std::string::npos)
            request.options.push_back({parameter, std::nullopt});
        else
            request.options.push_back({parameter.substr(0, equals), parameter.substr(equals + 1)});
    }
    if (mount.type != "proc" && mount.type != "sysfs") TRY(add_mount_label(plan, request));
    return request;
}

Result<Fd> create_filesystem(const Plan& plan, const MountPlan& mount, uint64_t without) {
    Fd fd = TRY(kernel::create_mount(TRY(filesystem_request(plan, mount, without))));
    if (mount.propagation.kind != Propagation::unchanged)
        TRY(kernel::set_mount_attributes(
            fd.get(), {.propagation = propagation_flag(mount.propagation.kind)}));
    return fd;
}

/// Hooks see the working directory; without any it is nobody's until the change of root.
bool may_change_directory(const LaunchSetup& setup) {
    return setup.plan->create_container_hooks.empty();
}

/// devpts, mqueue, shm and the like: nothing has to be done to them before or after.
bool is_mounted_at_once(const LaunchSetup& setup, const MountPlan& mount, int target) {
    if (!may_change_directory(setup) || mount.copy_up ||
        mount.propagation.kind != Propagation::unchanged)
        return false;
    const auto request = filesystem_request(*setup.plan, mount, 0);
    return request && kernel::mount_on_directory(target, *request);
}

/// proc and sysfs belong to namespaces. Where these belong to somebody else (the host's network in
/// a user namespace of ours), the kernel lets us have what we see, and we make it read-only. Never
/// where the namespace is the container's own: what we see would show it the host's processes.
Result<Fd> create_or_copy_kernel_filesystem(const Plan& plan, const MountPlan& mount) {
    auto made = create_filesystem(plan, mount, 0);
    if (made || made.error().sys_errno != EPERM || !plan.has_user_namespace()) return made;
    const bool is_proc = mount.type == "proc";
    if (plan.makes_new(is_proc ? NamespaceKind::pid : NamespaceKind::network))
        return fail(std::move(made).error().with_hint(
            "the caller's own /proc and /sys must be mounted, with nothing hidden over them"));
    const std::string path = is_proc ? "/proc" : "/sys";
    Fd copy = TRY(kernel::clone_mount(AT_FDCWD, path, {.recursive = true}));
    const uint64_t attributes = mount.attributes.set | mount.recursive_attributes.set;
    TRY(kernel::set_mount_attributes(copy.get(),
                                     {.set = attributes | MOUNT_ATTR_RDONLY, .recursive = true}));
    log::debug(path + " is a read-only copy of the host's: its namespace is not the container's");
    return copy;
}

Result<void> mount_kernel_filesystem(LaunchSetup& setup, const MountPlan& mount) {
    const Fd target =
        TRY(open_mount_target(*setup.root, mount.target, TargetKind::kernel_directory));
    Fd fd = TRY(create_or_copy_kernel_filesystem(*setup.plan, mount));
    TRY(kernel::attach_mount(fd.get(), target.get()));
    setup.kernel_mounts.push_back({.target = mount.target,
                                   .is_read_only = (mount.attributes.set & MOUNT_ATTR_RDONLY) != 0,
                                   .fd = std::move(fd)});
    return {};
}

Result<void> mount_filesystem(LaunchSetup& setup, const MountPlan& mount) {
    if (mount.type == "proc" || mount.type == "sysfs") return mount_kernel_filesystem(setup, mount);
    const Fd target = TRY(open_mount_target(*setup.root, mount.target, TargetKind::directory));
    const bool is_tmpfs = mount.type == "tmpfs";
    const uint64_t later = is_tmpfs ? mount.attributes.set & MOUNT_ATTR_RDONLY : 0;
    const bool is_dev = mount.target == "/dev" && setup.dev_mount;
    if (!is_dev && is_mounted_at_once(setup, mount, target.get())) return {};
    Fd fd;
    if (is_dev) {  // made with its attributes
        fd = std::move(setup.dev_mount);
        if (mount.propagation.kind != Propagation::unchanged)
            TRY(kernel::set_mount_attributes(
                fd.get(), {.propagation = propagation_flag(mount.propagation.kind)}));
    } else {
        fd = TRY(create_filesystem(*setup.plan, mount, later));
    }
    if (mount.copy_up) {
        if (!is_tmpfs) return fail(Errc::invalid, "tmpcopyup is for tmpfs only");
        TRY(copy_up(target.get(), fd.get()));
    }
    TRY(kernel::attach_mount(fd.get(), target.get()));
    if (later != 0) setup.read_only_later.push_back(std::move(fd));
    return {};
}

/// "copy-symlink": the link itself is made in the container.
Result<bool> copied_as_symlink(LaunchSetup& setup, const MountPlan& mount) {
    if (!mount.copy_symlink) return false;
    std::array<char, PATH_MAX> text{};
    const ssize_t size = ::readlink(mount.source.c_str(), text.data(), text.size());
    if (size < 0) {
        if (errno == EINVAL) return false;  // not a link
        return fail_errno(errno, "read " + mount.source);
    }
    const std::string target(text.data(), static_cast<size_t>(size));
    auto made = setup.root->make_symlink(mount.target, target);
    if (made) return true;
    if (made.error().code != Errc::exists) return fail(std::move(made).error());
    if (TRY(setup.root->read_link(mount.target)) == target) return true;
    return fail(std::move(made).error());
}

Result<void> mount_bind(LaunchSetup& setup, const MountPlan& mount, size_t index) {
    if (TRY(copied_as_symlink(setup, mount))) return {};
    Fd source = std::move(setup.sources[index]);
    if (!source) source = TRY(clone_source(mount));
    struct stat info{};
    if (::fstat(source.get(), &info) < 0) return fail_errno(errno, "look at " + mount.source);
    const auto kind = S_ISDIR(info.st_mode) ? TargetKind::directory : TargetKind::file;
    Fd target;
    if (mount.target_nofollow) {
        auto entry = setup.root->open_entry(mount.target);
        if (entry) target = std::move(*entry);
    }
    if (!target) target = TRY(open_mount_target(*setup.root, mount.target, kind));
    TRY(set_attributes(source.get(), mount));
    return kernel::attach_mount(source.get(), target.get());
}

// ---- cgroups ----

/// Links such as cpu -> cpu,cpuacct, as systemd makes them on the host.
Result<void> link_controllers(int directory, const std::string& name) {
    const auto controllers = split(name, ',');
    if (controllers.size() < 2) return {};
    for (const auto controller : controllers)
        if (::symlinkat(name.c_str(), directory, std::string(controller).c_str()) < 0)
            return fail_errno(errno, "link controller " + quote(controller));
    return {};
}

/// By name: the tmpfs is ours and holds nothing but what was made here.
/// @param is_entered  it is the working directory
Result<void> attach_view(int directory, const CgroupView& view, bool is_entered) {
    if (::mkdirat(directory, view.name.c_str(), 0755) < 0)
        return fail_errno(errno, "make a folder for hierarchy " + quote(view.name));
    if (is_entered &&
        ::mount(view.directory.c_str(), view.name.c_str(), nullptr, MS_BIND, nullptr) == 0)
        return link_controllers(directory, view.name);
    const Fd mount = TRY(kernel::clone_mount(AT_FDCWD, view.directory));
    if (::move_mount(mount.get(), "", directory, view.name.c_str(), MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return fail_errno(errno, "attach hierarchy " + quote(view.name));
    return link_controllers(directory, view.name);
}

Result<void> mount_cgroup_views(LaunchSetup& setup, const MountPlan& mount, int target,
                                const kernel::MountAttributes& attributes) {
    const Fd tmpfs = TRY(
        kernel::create_mount({.type = "tmpfs", .source = "tmpfs", .options = {{"mode", "755"}}}));
    TRY(kernel::attach_mount(tmpfs.get(), target));
    const bool is_entered = may_change_directory(setup) && ::fchdir(tmpfs.get()) == 0;
    for (const auto& view : setup.request->cgroup_views)
        TRY(attach_view(tmpfs.get(), view, is_entered));
    auto all = attributes;
    all.recursive = true;
    all.propagation = propagation_flag(mount.propagation.kind);
    return kernel::set_mount_attributes(tmpfs.get(), all);
}

Result<void> mount_cgroups(LaunchSetup& setup, const MountPlan& mount) {
    const Fd target = TRY(open_mount_target(*setup.root, mount.target, TargetKind::directory));
    const auto& views = setup.request->cgroup_views;
    kernel::MountAttributes attributes{.set = mount.attributes.set |
                                              mount.recursive_attributes.set | MOUNT_ATTR_NOSUID |
                                              MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
    // Without a cgroup namespace the view is the host's tree: never writable for a user namespace
    // (CVE-2023-25809).
    const bool has_namespace = setup.plan->find_namespace(NamespaceKind::cgroup) != nullptr;
    if (views.empty() || (!has_namespace && setup.plan->has_user_namespace()))
        attributes.set |= MOUNT_ATTR_RDONLY;
    if (!views.empty() && !views.front().name.empty())
        return mount_cgroup_views(setup, mount, target.get(), attributes);
    const auto& path = views.empty() ? std::string("/sys/fs/cgroup") : views.front().directory;
    const Fd fd = TRY(kernel::clone_mount(AT_FDCWD, path, {.recursive = views.empty()}));
    attributes.recursive = views.empty();
    attributes.propagation = propagation_flag(mount.propagation.kind);
    TRY(kernel::set_mount_attributes(fd.get(), attributes));
    return kernel::attach_mount(fd.get(), target.get());
}

/// "remount": new attributes, and with parameters a new configuration, of what is mounted there.
Result<void> change_mount(LaunchSetup& setup, const MountPlan& mount) {
    const Fd target = TRY(setup.root->open_file(mount.target, O_PATH));
    auto changed = set_attributes(target.get(), mount);
    if (!changed && changed.error().sys_errno == EINVAL)
        return fail(Errc::invalid, "remount: nothing is mounted at " + quote(mount.target),
                    "name a mount point, after the mount itself");
    TRY(std::move(changed));
    if (mount.parameters.empty() || mount.kind == MountKind::bind) return {};
    auto context = TRY(kernel::FsContext::pick(target.get()));
    for (const auto& parameter : mount.parameters) {
        const size_t equals = parameter.find('=');
        TRY(equals == std::string::npos
                ? context.set_flag(parameter)
                : context.set_string(parameter.substr(0, equals), parameter.substr(equals + 1)));
    }
    return context.reconfigure();
}

Result<void> attach_one(LaunchSetup& setup, size_t index) {
    const auto& mount = setup.plan->mounts[index];
    if (mount.remount) return change_mount(setup, mount);
    // What is mounted over can not be reached by its own mount any more.
    std::erase_if(setup.kernel_mounts,
                  [&](const auto& covered) { return is_below(covered.target, mount.target); });
    switch (mount.kind) {
        case MountKind::bind:
            return mount_bind(setup, mount, index);
        case MountKind::filesystem:
            return mount_filesystem(setup, mount);
        case MountKind::cgroup:
            return mount_cgroups(setup, mount);
    }
    return {};
}

}  // namespace

Result<void> attach_mounts(LaunchSetup& setup) {
    for (size_t i = 0; i < setup.plan->mounts.size(); ++i)
        TRY(with_context(attach_one(setup, i), name_of(*setup.plan, i)));
    return {};
}

Result<void> finish_mounts(LaunchSetup& setup) {
    for (const auto& mount : setup.read_only_later)
        TRY(kernel::set_mount_attributes(mount.get(), {.set = MOUNT_ATTR_RDONLY}));
    if (setup.plan->root.read_only && setup.has_mount_namespace())
        TRY(with_context(kernel::set_mount_attributes(setup.root->fd(), {.set = MOUNT_ATTR_RDONLY}),
                         "make the root read-only"));
    return {};
}

}  // namespace hull::jail
