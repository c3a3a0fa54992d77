#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/mount_tools.hpp"
#include "jail/step.hpp"
#include "kernel/devices.hpp"
#include "kernel/mount.hpp"
#include "kernel/namespaces.hpp"

// /dev: built by the parent on a detached tmpfs, because a process in a user namespace can not
// mknod(2), and because what is attached complete can not be redirected (CVE-2026-41579).

namespace hull::jail {
namespace {

const MountPlan* find_dev_mount(const Plan& plan) {
    for (const auto& mount : plan.mounts)
        if (mount.target == "/dev") return &mount;
    return nullptr;
}

bool is_in_dev(const DevicePlan& device) {
    return is_below(device.path, "/dev") && device.path.size() > 5;
}

/// The nodes below /dev with the ids that the parent must give them.
std::vector<kernel::DeviceNode> outside_nodes(const LaunchSetup& setup) {
    std::vector<kernel::DeviceNode> nodes;
    for (const auto& device : setup.plan->devices) {
        if (!is_in_dev(device)) continue;
        nodes.push_back(device);
        nodes.back().uid = setup.outside_uid(device.uid);
        nodes.back().gid = setup.outside_gid(device.gid);
    }
    return nodes;
}

/// What other mounts need as targets is made now, so that "ro" on /dev is no hindrance and the
/// child has nothing to make.
Result<void> make_folders(int directory, const Plan& plan) {
    for (const auto& mount : plan.mounts) {
        if (!is_below(mount.target, "/dev") || mount.target == "/dev") continue;
        const auto name = mount.target.substr(5);
        if (mount.kind == MountKind::bind || name.find('/') != std::string::npos) continue;
        if (::mkdirat(directory, name.c_str(), 0755) < 0 && errno != EEXIST)
            return fail_errno(errno, "make " + mount.target);
    }
    return {};
}

/// Folders and links belong to the container's root, as if it had made them itself.
Result<void> give_to_root(const LaunchSetup& setup, int directory) {
    for (const auto& entry : TRY(kernel::list_directory_at(directory))) {
        if (entry.type != DT_LNK && entry.type != DT_DIR) continue;
        if (::fchownat(directory, entry.name.c_str(), setup.outside_uid(0), setup.outside_gid(0),
                       AT_SYMLINK_NOFOLLOW) < 0)
            return fail_errno(errno, "give " + entry.name + " to the container's root");
    }
    return {};
}

Result<void> fill_dev(LaunchSetup& setup, int directory) {
    auto nodes = kernel::make_device_nodes(directory, outside_nodes(setup));
    setup.dev_has_nodes = nodes.has_value();
    // Rootless: the child binds the host's nodes instead.
    if (!nodes && nodes.error().sys_errno != EPERM) return nodes;
    TRY(kernel::make_device_links(directory));
    TRY(make_folders(directory, *setup.plan));
    return setup.plan->has_user_namespace() ? give_to_root(setup, directory) : Result<void>{};
}

}  // namespace

Result<void> build_dev(LaunchSetup& setup) {
    const auto* mount = find_dev_mount(*setup.plan);
    if (!setup.plan->populate_dev || !setup.has_mount_namespace() || mount == nullptr ||
        mount->type != "tmpfs" || mount->copy_up)
        return {};
    kernel::FilesystemRequest request{.type = "tmpfs", .source = mount->source};
    // "ro" comes when it is filled.
    request.attributes =
        (mount->attributes.set | mount->recursive_attributes.set) & ~uint64_t{MOUNT_ATTR_RDONLY};
    for (const auto& parameter : mount->parameters)
        for (auto& option : kernel::parse_filesystem_options(parameter))
            request.options.push_back(std::move(option));
    TRY(add_mount_label(*setup.plan, request));
    auto made = kernel::create_mount(request);
    if (!made && is_left_to_child(setup, made.error())) return {};
    Fd directory = TRY(with_context(std::move(made), "/dev"));
    if (setup.plan->has_user_namespace() && ::fchownat(directory.get(), "", setup.outside_uid(0),
                                                       setup.outside_gid(0), AT_EMPTY_PATH) < 0)
        return fail_errno(errno, "give /dev to the container's root");
    TRY(with_context(fill_dev(setup, directory.get()), "/dev"));
    setup.dev_mount = std::move(directory);
    setup.dev_is_prepared = true;
    return {};
}

namespace {

mode_t type_bits(const DevicePlan& device) {
    return device.type == 'b' ? S_IFBLK : device.type == 'p' ? S_IFIFO : S_IFCHR;
}

Result<void> set_attributes(const LaunchSetup& setup, const DevicePlan& device) {
    TRY(setup.root->set_mode(device.path, device.mode));
    return setup.root->set_owner(device.path, device.uid, device.gid);
}

/// A node at its own path in the root, for devices outside /dev and for a /dev that is no tmpfs.
Result<void> make_node(const LaunchSetup& setup, const DevicePlan& device) {
    TRY(setup.root->make_directories(parent_path(device.path), 0755));
    auto made = setup.root->make_node(device.path, {.mode = type_bits(device) | device.mode,
                                                    .device = makedev(device.major, device.minor)});
    if (!made) return made;
    return set_attributes(setup, device);
}

Result<void> bind_node(const LaunchSetup& setup, const DevicePlan& device) {
    const Fd source = TRY(kernel::clone_mount(AT_FDCWD, device.path));
    TRY(kernel::verify_device(source.get(), device));
    const Fd target = TRY(open_mount_target(*setup.root, device.path, TargetKind::file));
    return kernel::attach_mount(source.get(), target.get());
}

bool is_that_node(const struct stat& present, const DevicePlan& device) {
    if ((present.st_mode & S_IFMT) != type_bits(device)) return false;
    return device.type == 'p' || present.st_rdev == makedev(device.major, device.minor);
}

/// Nodes that config.json does not name are needed all the same: an image's other file is covered.
bool is_default(const DevicePlan& device) {
    const auto& defaults = kernel::default_devices();
    return std::find(defaults.begin(), defaults.end(), device) != defaults.end();
}

/// config-linux.md, Devices: where another file is at the path, "the runtime MUST generate an
/// error". An empty one is what an earlier run left that had to bind the node.
Result<void> refuse_other_file(const DevicePlan& device, const struct stat& present,
                               bool has_to_bind) {
    const bool is_bind_target = S_ISREG(present.st_mode) && present.st_size == 0;
    if (is_default(device) || (has_to_bind && is_bind_target)) return {};
    return fail(Errc::exists, "the root file system has another file there",
                "remove that file, or the entry of linux.devices [config-linux.md, Devices]");
}

Result<void> provide_node(const LaunchSetup& setup, const DevicePlan& device) {
    // A node in a user namespace's own mount can not be opened: the host's is bound over it.
    const bool has_to_bind = !kernel::is_in_first_user_namespace();
    if (const auto present = TRY(setup.root->find(device.path))) {
        const bool is_there = is_that_node(*present, device);
        if (!is_there) TRY(refuse_other_file(device, *present, has_to_bind));
        if (is_there && (!has_to_bind || device.type == 'p')) return set_attributes(setup, device);
    }
    auto made = make_node(setup, device);
    if (made) return made;
    const int cause = made.error().sys_errno;
    if (cause != EPERM && cause != EEXIST) return made;
    return bind_node(setup, device);
}

/// /dev is the image's own folder: nodes and links go into it one by one.
Result<void> fill_image_dev(LaunchSetup& setup) {
    const Fd directory = TRY(setup.root->make_directories("/dev", 0755));
    for (const auto& link : kernel::default_device_links()) {
        const auto path = "/dev/" + std::string(link.path);
        if (!TRY(setup.root->find(path)))
            TRY(setup.root->make_symlink(path, std::string(link.target)));
    }
    return {};
}

}  // namespace

Result<void> complete_dev(LaunchSetup& setup) {
    if (!setup.plan->populate_dev || !setup.has_mount_namespace()) return {};
    if (!setup.dev_is_prepared) TRY(fill_image_dev(setup));
    for (const auto& device : setup.plan->devices) {
        if (is_in_dev(device) && setup.dev_is_prepared && setup.dev_has_nodes) continue;
        TRY(with_context(provide_node(setup, device), "device " + device.path));
    }
    return {};
}

}  // namespace hull::jail
