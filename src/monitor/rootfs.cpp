#include "monitor/rootfs.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/file.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/mount.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/process.hpp"
#include "kernel/rooted_path.hpp"

namespace hull::monitor {
namespace {

/// For as long as it lives this process makes files as another user, with all its capabilities.
/// Overlay keeps the credentials of whoever mounts it, and makes its work folder with them: on an
/// idmapped upper layer host root has no id (EOVERFLOW, and the mount becomes read-only), the
/// container's root has one.
class FilesystemUser {
  public:
    static Result<FilesystemUser> become(const kernel::IdMapping& mapping) {
        auto uid = kernel::to_outside(mapping.users, 0);
        auto gid = kernel::to_outside(mapping.groups, 0);
        FilesystemUser user;
        if (!uid || !gid) return user;
        auto sets = TRY(kernel::read_capabilities());
        user.is_other_ = true;
        ::setfsgid(*gid);
        ::setfsuid(*uid);  // takes the capabilities about files out of the effective set
        TRY(kernel::apply_capabilities(sets));
        return user;
    }
    FilesystemUser(FilesystemUser&& other) noexcept
        : is_other_(std::exchange(other.is_other_, false)) {}
    FilesystemUser& operator=(FilesystemUser&&) = delete;
    ~FilesystemUser() {
        if (!is_other_) return;
        ::setfsuid(::geteuid());
        ::setfsgid(::getegid());
    }

  private:
    FilesystemUser() = default;
    bool is_other_ = false;
};

/// A layer as a descriptor: its folder, or an idmapped detached mount of it.
Result<Fd> open_layer(const std::string& path, int idmap_namespace) {
    if (idmap_namespace < 0) return open_path(path, O_PATH | O_DIRECTORY);
    Fd mount = TRY(kernel::clone_mount(AT_FDCWD, path));
    TRY(with_context(
        kernel::set_mount_attributes(mount.get(), {.idmap_namespace = idmap_namespace}),
        "idmap " + path));
    return mount;
}

uint64_t rootfs_attributes(const RootfsSettings& rootfs) {
    return MOUNT_ATTR_NODEV | (rootfs.allow_suid ? 0U : MOUNT_ATTR_NOSUID);
}

Result<Fd> create_rootfs_overlay(const RootfsSettings& rootfs, int idmap_namespace) {
    std::vector<Fd> lowers;
    kernel::OverlayRequest request;
    for (const auto& path : rootfs.lowers) {
        lowers.push_back(TRY(open_layer(path, idmap_namespace)));
        request.lowers.push_back(lowers.back().get());
    }
    Fd writable;
    Fd upper;
    Fd work;
    if (!rootfs.upper.empty()) {
        // Overlay wants both on one mount, so the folder that holds them is what gets idmapped.
        writable = TRY(open_layer(parent_path(rootfs.upper), idmap_namespace));
        upper = TRY(open_at(writable.get(), base_name(rootfs.upper), O_PATH | O_DIRECTORY));
        work = TRY(open_at(writable.get(), base_name(rootfs.work), O_PATH | O_DIRECTORY));
        request.upper = upper.get();
        request.work = work.get();
        if (idmap_namespace >= 0) request.writable = writable.get();
    }
    request.user_xattr = rootfs.user_xattr;
    request.attributes = rootfs_attributes(rootfs);
    if (rootfs.is_volatile) request.options.push_back({"volatile", std::nullopt});
    request.scratch_directory = rootfs.target;
    auto user = TRY(FilesystemUser::become(rootfs.mapping));
    return kernel::create_overlay(request);
}

Result<Fd> create_rootfs_copy(const RootfsSettings& rootfs, int idmap_namespace) {
    Fd mount = TRY(kernel::clone_mount(AT_FDCWD, rootfs.copy));
    TRY(kernel::set_mount_attributes(
        mount.get(), {.set = rootfs_attributes(rootfs), .idmap_namespace = idmap_namespace}));
    return mount;
}

}  // namespace

Result<HostMounts> enter_mount_namespace(bool rootless) {
    HostMounts host;
    if (rootless) {
        TRY(kernel::enter_user_namespace_with_full_range(
            {.clone_flags = CLONE_NEWNS, .allow_single = true}));
    } else {
        host.mount_namespace =
            TRY(kernel::open_namespace("/proc/self/ns/mnt", kernel::NamespaceKind::mount));
        host.root = TRY(open_path("/", O_PATH | O_DIRECTORY));
        TRY(kernel::unshare_namespaces(CLONE_NEWNS));
    }
    TRY(kernel::set_mount_attributes_at("/", {.propagation = MS_SLAVE, .recursive = true}));
    return host;
}

Result<void> return_to_host(HostMounts host) {
    TRY(kernel::join_namespace(host.mount_namespace.get(), kernel::NamespaceKind::mount));
    // setns(2) leads to the root of that namespace, which is not ours in a chroot.
    if (::fchdir(host.root.get()) < 0 || ::chroot(".") < 0)
        return fail_errno(errno, "return to the host's root");
    return {};
}

Result<void> join_user_namespace_of(pid_t monitor) {
    Fd user = TRY(kernel::open_namespace_of(monitor, kernel::NamespaceKind::user));
    return kernel::join_namespace(user.get(), kernel::NamespaceKind::user);
}

Result<void> mount_rootfs(const RootfsSettings& rootfs, Idmap& idmap) {
    if (!rootfs.mapping.empty()) {
        if (!idmap.unmapped) idmap.unmapped.emplace(TRY(kernel::UnmappedUserNamespace::create()));
        idmap.mapped = TRY(idmap.unmapped->map(rootfs.mapping));
    }
    Fd mount = rootfs.copy.empty() ? TRY(create_rootfs_overlay(rootfs, idmap.mapped.get()))
                                   : TRY(create_rootfs_copy(rootfs, idmap.mapped.get()));
    idmap.unmapped.reset();
    Fd target = TRY(open_path(rootfs.target, O_PATH | O_DIRECTORY));
    return with_context(kernel::attach_mount(mount.get(), target.get()),
                        "mount the root filesystem on " + rootfs.target);
}

namespace {

Result<void> make_etc_file(int directory, const EtcFile& file, uint32_t owner) {
    constexpr size_t kLongest = 3U << 20U;  // of the tmpfs's 4 MiB
    const Fd made = TRY(open_at(directory, file.name, O_WRONLY | O_CREAT | O_EXCL, 0644));
    const auto copied = file.copy_of.empty() ? Result<std::string>(file.content)
                                             : read_file(file.copy_of, kLongest);
    TRY(write_all(made.get(), copied ? *copied : file.content));
    // umask must not decide what the container's users can read.
    if (::fchmod(made.get(), 0644) < 0) return fail_errno(errno, "set the mode of " + file.name);
    if (owner != ::geteuid() && ::fchown(made.get(), owner, owner) < 0)
        return fail_errno(errno, "give " + file.name + " to the container");
    return {};
}

}  // namespace

Result<void> mount_etc_files(const EtcFiles& etc) {
    if (etc.directory.empty()) return {};
    // Room for a long hosts file of the host's; no container makes a file of its own in there.
    const Fd mount = TRY(kernel::create_mount(
        {.type = "tmpfs",
         .source = "tmpfs",
         .options = {{"mode", "755"}, {"size", "4m"}, {"nr_inodes", "16"}},
         .attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC}));
    for (const auto& file : etc.files)
        TRY(make_etc_file(mount.get(), file, etc.owner));
    if (::mkdir(etc.directory.c_str(), 0755) < 0 && errno != EEXIST)
        return fail_errno(errno, "make " + etc.directory);
    const Fd target = TRY(open_path(etc.directory, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    return kernel::attach_mount(mount.get(), target.get());
}

void unmount_all(const MonitorSettings& settings) {
    if (settings.rootfs) (void)kernel::unmount(settings.rootfs->target, MNT_DETACH);
    if (!settings.etc.directory.empty()) (void)kernel::unmount(settings.etc.directory, MNT_DETACH);
}

}  // namespace hull::monitor
