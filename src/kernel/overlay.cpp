// create_overlay() of mount.hpp.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "kernel/features.hpp"
#include "kernel/fs_context.hpp"
#include "kernel/mount.hpp"

namespace hull::kernel {

namespace {

std::string fd_path(int fd) {
    return "/proc/self/fd/" + std::to_string(fd);
}

Result<FsContext> open_context(const OverlayRequest& request) {
    FsContext context = TRY(FsContext::open("overlay"));
    TRY(context.set_string("source", request.source));
    if (request.user_xattr) TRY(context.set_flag("userxattr"));
    for (const FilesystemOption& option : request.options) {
        if (option.value) {
            TRY(context.set_string(option.name, *option.value));
        } else {
            TRY(context.set_flag(option.name));
        }
    }
    return context;
}

/// Kernel 6.13: layers by descriptor, 6.15: also O_PATH ones and detached mounts.
Result<Fd> create_by_descriptor(const OverlayRequest& request) {
    FsContext context = TRY(open_context(request));
    for (int lower : request.lowers)
        TRY(context.set_fd("lowerdir+", lower));
    if (request.upper >= 0) {
        TRY(context.set_fd("upperdir", request.upper));
        TRY(context.set_fd("workdir", request.work));
    }
    return context.create_mount(request.attributes);
}

/// Kernel 6.8: layers one by one, by path. The paths are ours: magic links of our descriptors.
Result<Fd> create_by_path(const OverlayRequest& request) {
    FsContext context = TRY(open_context(request));
    for (int lower : request.lowers)
        TRY(context.set_string("lowerdir+", fd_path(lower)));
    if (request.upper >= 0) {
        TRY(context.set_string("upperdir", fd_path(request.upper)));
        TRY(context.set_string("workdir", fd_path(request.work)));
    }
    return context.create_mount(request.attributes);
}

/// A tmpfs on the scratch folder, gone with all mounts on it when this ends.
class Scratch {
  public:
    static Result<Scratch> open(const std::string& folder) {
        FilesystemRequest request{.type = "tmpfs", .source = "overlay-scratch"};
        Fd mount = TRY(create_mount(request));
        TRY(set_mount_attributes(mount.get(), {.propagation = MS_PRIVATE}));
        Fd target = TRY(open_path(folder, O_PATH | O_DIRECTORY));
        TRY(attach_mount(mount.get(), target.get()));
        return Scratch{std::move(mount)};
    }
    Scratch(Scratch&&) = default;
    Scratch(const Scratch&) = delete;
    ~Scratch() {
        if (root_) (void)unmount_directory(root_.get());
    }
    int root() const { return root_.get(); }

    Result<Fd> make_directory(const std::string& name) const {
        if (::mkdirat(root_.get(), name.c_str(), 0700) < 0)
            return fail_errno(errno, "make a folder for a layer");
        return open_at(root_.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    }

  private:
    explicit Scratch(Fd root) : root_(std::move(root)) {}
    Fd root_;
};

/// Before 6.8: one text of at most a page, through mount(2); detached layers are attached first.
Result<Fd> create_by_old_mount(const OverlayRequest& request) {
    Scratch scratch = TRY(Scratch::open(request.scratch_directory));
    // Layers of detached mounts are refused: overlay clones what is in our mount namespace only.
    if (request.writable >= 0) {
        Fd point = TRY(scratch.make_directory("writable"));
        TRY(with_context(attach_mount(request.writable, point.get()), "the writable layer"));
    }
    std::vector<Fd> points;
    std::string lowers;
    for (int lower : request.lowers) {
        Fd point = TRY(scratch.make_directory(std::to_string(points.size())));
        // A layer that is attached already, or a folder inside a mount, is used where it is.
        (void)attach_mount(lower, point.get());
        lowers += (lowers.empty() ? "" : ":") + fd_path(lower);
        points.push_back(std::move(point));
    }
    std::string data = "lowerdir=" + lowers;
    if (request.upper >= 0)
        data += ",upperdir=" + fd_path(request.upper) + ",workdir=" + fd_path(request.work);
    if (request.user_xattr) data += ",userxattr";
    for (const FilesystemOption& option : request.options)
        data += "," + option.name + (option.value ? "=" + *option.value : "");
    Fd merged = TRY(scratch.make_directory("merged"));
    if (::mount(request.source.c_str(), fd_path(merged.get()).c_str(), "overlay", 0, data.c_str()) <
        0)
        return fail_errno(
            errno, "mount an overlay of " + std::to_string(request.lowers.size()) + " layers",
            "kernels before 6.8 take about 200 layers at most");
    Fd mount = TRY(clone_mount(scratch.root(), "merged"));
    if (request.attributes != 0)
        TRY(set_mount_attributes(mount.get(), {.set = request.attributes}));
    return mount;
}

bool may_be_old_kernel(const Error& error) {
    return error.sys_errno == EINVAL || error.sys_errno == EBADF || error.sys_errno == ELOOP ||
           error.sys_errno == EOPNOTSUPP;
}

}  // namespace

Result<Fd> create_overlay(const OverlayRequest& request) {
    if (request.lowers.empty())
        return fail(Errc::invalid, "mount an overlay: it needs at least one lower layer");
    if ((request.upper >= 0) != (request.work >= 0))
        return fail(Errc::invalid, "mount an overlay: an upper layer needs a work folder");
    auto first = create_by_descriptor(request);
    if (first || !may_be_old_kernel(first.error())) return first;
    const bool knows_single_layers = kernel_version() >= KernelVersion{6, 8};
    if (knows_single_layers) {
        auto by_path = create_by_path(request);
        if (by_path) return by_path;
    }
    if (!request.scratch_directory.empty()) {
        auto old = create_by_old_mount(request);
        if (old || !knows_single_layers) return old;
    }
    // The first way's log says best what is wrong with the layers.
    return first;
}

}  // namespace hull::kernel
