#include "store/snapshot_copy.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <utility>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "store/metadata.hpp"

namespace hull::store {
namespace {

/// Where the first name of an inode with several names went, within one layer.
using Inodes = std::map<std::pair<dev_t, ino_t>, std::string>;

Result<void> copy_range(int from, int to, off_t start, off_t end, const std::string& path) {
    while (start < end) {
        off_t out = start;
        ssize_t done =
            ::copy_file_range(from, &start, to, &out, static_cast<size_t>(end - start), 0);
        if (done < 0) return fail_errno(errno, "copy " + path);
        if (done == 0) return fail(Errc::io, "copy " + path + ": it became shorter");
    }
    return {};
}

Result<void> copy_content(const std::string& source, const std::string& target, off_t size) {
    Fd from = TRY(open_path(source, O_RDONLY | O_NOFOLLOW));
    Fd to = TRY(open_path(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
    if (::ioctl(to.get(), FICLONE, from.get()) == 0) return {};
    if (::ftruncate(to.get(), size) < 0) return fail_errno(errno, "extend " + target);
    for (off_t position = 0; position < size;) {
        off_t data = ::lseek(from.get(), position, SEEK_DATA);
        if (data < 0 && errno == ENXIO) break;  // only a hole is left
        if (data < 0) return fail_errno(errno, "find data in " + source);
        off_t hole = ::lseek(from.get(), data, SEEK_HOLE);
        if (hole < 0) return fail_errno(errno, "find holes in " + source);
        TRY(copy_range(from.get(), to.get(), data, hole, source));
        position = hole;
    }
    return {};
}

Result<void> copy_entry(const std::string& source, const std::string& target,
                        const struct stat& info, Inodes& inodes) {
    if (S_ISREG(info.st_mode) && info.st_nlink > 1) {
        auto [known, is_first] = inodes.try_emplace({info.st_dev, info.st_ino}, target);
        if (!is_first) {
            if (::link(known->second.c_str(), target.c_str()) < 0)
                return fail_errno(errno, "link " + target);
            return {};
        }
    }
    if (S_ISREG(info.st_mode)) {
        TRY(copy_content(source, target, info.st_size));
    } else if (S_ISLNK(info.st_mode)) {
        std::string link(static_cast<size_t>(info.st_size) + 1, '\0');
        ssize_t length = ::readlink(source.c_str(), link.data(), link.size());
        if (length < 0) return fail_errno(errno, "read link " + source);
        link.resize(static_cast<size_t>(length));
        if (::symlink(link.c_str(), target.c_str()) < 0)
            return fail_errno(errno, "create link " + target);
    } else if (::mknod(target.c_str(), info.st_mode, info.st_rdev) < 0) {
        return fail_errno(errno, "create " + target);
    }
    return copy_metadata(source, target);
}

Result<void> copy_tree(const std::string& source, const std::string& target, Inodes& inodes);

Result<void> apply_entry(const std::string& source, const std::string& target, Inodes& inodes) {
    struct stat info{};
    struct stat existing{};
    if (::lstat(source.c_str(), &info) < 0) return fail_errno(errno, "stat " + source);
    bool exists = ::lstat(target.c_str(), &existing) == 0;
    bool merges =
        exists && S_ISDIR(info.st_mode) && S_ISDIR(existing.st_mode) && !is_opaque(source);
    if (exists && !merges) TRY(remove_tree(target));
    if (is_whiteout(info)) return {};
    if (!S_ISDIR(info.st_mode)) return copy_entry(source, target, info, inodes);
    if (!merges && ::mkdir(target.c_str(), 0700) < 0) return fail_errno(errno, "create " + target);
    return copy_tree(source, target, inodes);
}

Result<void> copy_tree(const std::string& source, const std::string& target, Inodes& inodes) {
    for (const std::string& name : TRY(list_directory(source)))
        TRY(apply_entry(source + "/" + name, target + "/" + name, inodes));
    return copy_metadata(source, target);
}

}  // namespace

Result<void> copy_layers(const std::vector<std::string>& lower, const std::string& target) {
    if (::mkdir(target.c_str(), 0755) < 0) return fail_errno(errno, "create " + target);
    for (auto layer = lower.rbegin(); layer != lower.rend(); ++layer) {
        Inodes inodes;
        TRY(with_context(copy_tree(*layer, target, inodes), "copy layer " + *layer));
    }
    return {};
}

}  // namespace hull::store
