#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "jail/mount_tools.hpp"
#include "jail/step.hpp"
#include "kernel/mount.hpp"

// The root file system: made a mount of its own, filled by the steps of the other files, and then
// made the root of the mount namespace.

namespace hull::jail {
namespace {

constexpr std::string_view kNoMountNamespace =
    "mounts need a mount namespace of the container's own";

Result<Fd> clone_root(const std::string& path) {
    return with_context(kernel::clone_mount(AT_FDCWD, path, {.recursive = true}), "root.path");
}

/// Nothing that we mount may show in the host's namespace, as its propagation would have it.
Result<void> leave_peer_groups(const LaunchSetup& setup) {
    PropagationPlan plan = setup.plan->root.propagation;
    if (plan.kind == Propagation::unchanged || plan.kind == Propagation::shared)
        plan = {.kind = Propagation::slave, .recursive = true};
    if (plan.kind == Propagation::unbindable)  // an unbindable root could not be cloned
        plan = {.kind = Propagation::private_, .recursive = true};
    return kernel::set_mount_attributes_at(
        "/", {.propagation = propagation_flag(plan.kind), .recursive = true});
}

/// Where the root is attached until it becomes "/": at its own host path, where hooks look for it;
/// at "/" where this process, in a user namespace, cannot reach that path.
Result<Fd> root_target(const std::string& path) {
    auto target = open_path(path, O_PATH | O_DIRECTORY);
    if (target || target.error().sys_errno != EACCES) return target;
    return open_path("/", O_PATH | O_DIRECTORY);
}

}  // namespace

bool is_left_to_child(const LaunchSetup& setup, const Error& error) {
    return error.sys_errno == EPERM && setup.plan->has_user_namespace();
}

Result<void> open_root_source(LaunchSetup& setup) {
    const auto& root = setup.plan->root;
    if (root.path.empty()) return fail(Errc::invalid, "root.path: no root file system is given");
    if (!setup.has_mount_namespace()) {
        if (!setup.plan->mounts.empty())
            return fail(Errc::invalid, "mounts: " + std::string(kNoMountNamespace),
                        "add {\"type\": \"mount\"} to linux.namespaces");
        return {};
    }
    // The child may lack the right to walk to the root when its ids are others than ours.
    if (setup.plan->has_user_namespace()) {
        auto source = clone_root(root.path);
        if (!source && is_left_to_child(setup, source.error())) return {};
        setup.root_source = TRY(std::move(source));
        TRY(kernel::set_mount_attributes(setup.root_source.get(),
                                         {.propagation = MS_SLAVE, .recursive = true}));
    }
    return {};
}

Result<void> attach_root(LaunchSetup& setup) {
    const auto& path = setup.plan->root.path;
    if (!setup.has_mount_namespace()) {
        setup.root = TRY(kernel::RootedPath::open(path));
        return {};
    }
    TRY(leave_peer_groups(setup));
    Fd source = std::move(setup.root_source);
    if (!source) source = TRY(clone_root(path));
    const Fd target = TRY(root_target(path));
    if (!setup.mask_mount) TRY(build_mask_sources(setup));
    // The sources of masks lie hidden below the root's mount, and go with the old root.
    if (setup.mask_mount) TRY(kernel::attach_mount(setup.mask_mount.get(), target.get()));
    TRY(with_context(kernel::attach_mount(source.get(), target.get()), "attach the root"));
    setup.root = TRY(kernel::RootedPath::adopt(std::move(source)));
    return {};
}

Result<void> change_root(LaunchSetup& setup) {
    const auto& root = setup.plan->root;
    const int fd = setup.root->fd();
    if (!setup.has_mount_namespace()) {
        if (::fchdir(fd) < 0 || ::chroot(".") < 0) return fail_errno(errno, "chroot");
        return {};
    }
    if (root.no_pivot)
        TRY(kernel::move_root_to(fd));
    else
        TRY(kernel::pivot_root_to(fd));
    if (root.propagation.kind != Propagation::unchanged)
        TRY(kernel::set_mount_attributes_at("/",
                                            {.propagation = propagation_flag(root.propagation.kind),
                                             .recursive = root.propagation.recursive}));
    return {};
}

}  // namespace hull::jail
