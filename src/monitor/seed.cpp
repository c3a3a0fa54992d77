#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/file.hpp"
#include "kernel/mount.hpp"
#include "kernel/rooted_path.hpp"
#include "monitor/rootfs.hpp"

namespace hull::monitor {
namespace {

constexpr int kMaxDepth = 256;

Result<void> copy_content(int from, int to) {
    while (true) {
        ssize_t copied = ::copy_file_range(from, nullptr, to, nullptr, 1U << 30U, 0);
        if (copied > 0) continue;
        if (copied == 0) return {};
        if (errno != EINTR) break;
    }
    // Not every pair of file systems can (EXDEV, EINVAL): by hand, from where it stopped.
    std::array<char, 65536> buffer{};
    while (true) {
        ssize_t got = ::read(from, buffer.data(), buffer.size());
        if (got == 0) return {};
        if (got < 0) return fail_errno(errno, "read a file of the image");
        TRY(write_all(to, {buffer.data(), static_cast<size_t>(got)}));
    }
}

struct Entry {
    int from;  ///< directory in the image
    int to;    ///< directory in the volume
    const std::string& name;
};

Result<void> set_owner_and_times(const Entry& entry, const struct stat& info) {
    if (::fchownat(entry.to, entry.name.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "set the owner of " + entry.name + " in the volume");
    if (!S_ISLNK(info.st_mode) &&
        ::fchmodat(entry.to, entry.name.c_str(), info.st_mode & 07777U, 0) < 0)
        return fail_errno(errno, "set the mode of " + entry.name + " in the volume");
    const std::array<timespec, 2> times{info.st_atim, info.st_mtim};
    ::utimensat(entry.to, entry.name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW);
    return {};
}

Result<void> copy_file(const Entry& entry) {
    Fd source = TRY(open_at(entry.from, entry.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    Fd target = TRY(open_at(entry.to, entry.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    return copy_content(source.get(), target.get());
}

Result<void> copy_link(const Entry& entry) {
    std::array<char, 4096> text{};
    ssize_t size = ::readlinkat(entry.from, entry.name.c_str(), text.data(), text.size() - 1);
    if (size < 0) return fail_errno(errno, "read the link " + entry.name + " of the image");
    if (::symlinkat(text.data(), entry.to, entry.name.c_str()) < 0)
        return fail_errno(errno, "make the link " + entry.name + " in the volume");
    return {};
}

Result<void> copy_directory(int from, int to, int depth);

Result<void> copy_entry(const Entry& entry, int depth) {
    struct stat info{};
    if (::fstatat(entry.from, entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "look at " + entry.name + " of the image");
    if (S_ISREG(info.st_mode)) {
        TRY(copy_file(entry));
    } else if (S_ISLNK(info.st_mode)) {
        TRY(copy_link(entry));
    } else if (S_ISDIR(info.st_mode)) {
        if (::mkdirat(entry.to, entry.name.c_str(), 0700) < 0)
            return fail_errno(errno, "make the folder " + entry.name + " in the volume");
        Fd source = TRY(open_at(entry.from, entry.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        Fd target = TRY(open_at(entry.to, entry.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        TRY(copy_directory(source.get(), target.get(), depth + 1));
    } else {
        return {};  // sockets, fifos, devices are no data
    }
    return set_owner_and_times(entry, info);
}

Result<void> copy_directory(int from, int to, int depth) {
    if (depth > kMaxDepth) return fail(Errc::invalid, "the image's folders are nested too deep");
    for (const auto& entry : TRY(kernel::list_directory_at(from)))
        TRY(copy_entry({from, to, entry.name}, depth));
    return {};
}

Result<void> seed_volume(const kernel::RootedPath& root, const VolumeSeed& seed,
                         int idmap_namespace) {
    auto source = root.open_directory(seed.path);
    if (!source) return {};  // the image has no such folder: an empty volume is right
    Fd mount = TRY(kernel::clone_mount(AT_FDCWD, seed.volume));
    if (idmap_namespace >= 0)
        TRY(kernel::set_mount_attributes(mount.get(), {.idmap_namespace = idmap_namespace}));
    Fd from = TRY(kernel::reopen(source->get(), O_RDONLY | O_DIRECTORY));
    TRY(copy_directory(from.get(), mount.get(), 0));
    struct stat info{};
    if (::fstat(from.get(), &info) < 0) return fail_errno(errno, "look at " + seed.path);
    std::string self = "/proc/self/fd/" + std::to_string(mount.get());
    if (::chown(self.c_str(), info.st_uid, info.st_gid) < 0 ||
        ::chmod(self.c_str(), info.st_mode & 07777U) < 0)
        return fail_errno(errno, "set the owner of the volume");
    return {};
}

}  // namespace

Result<void> seed_volumes(const RootfsSettings& rootfs, const std::vector<VolumeSeed>& seeds,
                          const Idmap& idmap) {
    if (seeds.empty()) return {};
    auto root = TRY(kernel::RootedPath::open(rootfs.target));
    for (const auto& seed : seeds)
        TRY(with_context(seed_volume(root, seed, idmap.mapped.get()),
                         "copy " + seed.path + " of the image into the new volume"));
    return {};
}

}  // namespace hull::monitor
