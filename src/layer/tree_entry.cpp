#include "layer/tree_entry.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "kernel/rooted_path.hpp"

namespace hull::layer {
namespace {

Result<std::string> read_link(int folder, const std::string& name, const struct stat& info) {
    std::string target(static_cast<size_t>(info.st_size) + 1, '\0');
    ssize_t length = ::readlinkat(folder, name.c_str(), target.data(), target.size());
    if (length < 0) return fail_errno(errno, "read link " + quote(name));
    target.resize(static_cast<size_t>(length));
    return target;
}

Result<TarType> type_of(const struct stat& info, const std::string& path) {
    switch (info.st_mode & S_IFMT) {
        case S_IFREG:
            return TarType::file;
        case S_IFDIR:
            return TarType::directory;
        case S_IFLNK:
            return TarType::symlink;
        case S_IFIFO:
            return TarType::fifo;
        case S_IFCHR:
            return TarType::character_device;
        case S_IFBLK:
            return TarType::block_device;
        case S_IFSOCK:
            return TarType::fifo;  // TreeWriter leaves it out
        default:
            return fail(Errc::unsupported, quote(path) + " has an unknown type");
    }
}

}  // namespace

Result<std::vector<std::string>> sorted_names(int folder) {
    std::vector<std::string> names;
    for (kernel::DirectoryEntry& entry : TRY(kernel::list_directory_at(folder)))
        names.push_back(std::move(entry.name));
    std::sort(names.begin(), names.end());
    return names;
}

Result<TreeEntry> describe_entry(int folder, const std::string& name, const std::string& path) {
    TreeEntry entry;
    struct stat& info = entry.info;
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "stat " + quote(path));
    TarEntry& tar = entry.tar;
    tar.type = TRY(type_of(info, path));
    tar.name = path;
    if (tar.type == TarType::directory) tar.name += "/";
    if (tar.type == TarType::file) tar.size = static_cast<uint64_t>(info.st_size);
    if (tar.type == TarType::symlink) tar.link = TRY(read_link(folder, name, info));
    tar.mode = info.st_mode & 07777U;
    tar.uid = info.st_uid;
    tar.gid = info.st_gid;
    tar.mtime = info.st_mtim;
    tar.device_major = ::gnu_dev_major(info.st_rdev);
    tar.device_minor = ::gnu_dev_minor(info.st_rdev);
    entry.is_whiteout = S_ISCHR(info.st_mode) && info.st_rdev == 0;
    if (entry.is_whiteout) return entry;
    for (const std::string& attribute : TRY(kernel::list_xattrs_at(folder, name))) {
        // The overlay of an ordinary user may mark whiteouts by an attribute (Linux 6.7).
        if (attribute == "user.overlay.whiteout" && info.st_size == 0) entry.is_whiteout = true;
        if (attribute == "trusted.overlay.opaque" || attribute == "user.overlay.opaque") {
            auto value = TRY(kernel::find_xattr_at(folder, name, attribute));
            entry.is_opaque = entry.is_opaque || (value && *value == "y");
        }
        if (attribute.starts_with("trusted.") || attribute.starts_with("user.overlay.") ||
            attribute == "security.selinux")
            continue;
        auto value = TRY(kernel::find_xattr_at(folder, name, attribute));
        if (value) tar.xattrs.emplace_back(attribute, std::move(*value));
    }
    std::sort(tar.xattrs.begin(), tar.xattrs.end());
    return entry;
}

Result<void> TreeWriter::add_marker(const std::string& path) {
    TarEntry entry;
    entry.name = path;
    entry.mode = 0600;
    ++entries_;
    return tar_.add(entry);
}

Result<void> TreeWriter::add(int folder, const std::string& name, TreeEntry entry) {
    if (S_ISSOCK(entry.info.st_mode)) return {};  // tar cannot hold one, and nobody listens later
    ++entries_;
    if (!S_ISDIR(entry.info.st_mode) && entry.info.st_nlink > 1) {
        auto [first, is_new] =
            links_.try_emplace({entry.info.st_dev, entry.info.st_ino}, entry.tar.name);
        if (!is_new) {
            entry.tar.type = TarType::hard_link;
            entry.tar.link = first->second;
            entry.tar.xattrs.clear();
            return tar_.add(entry.tar);
        }
    }
    if (entry.tar.type == TarType::file) return write_content(folder, name, entry.tar);
    return tar_.add(entry.tar);
}

Result<void> TreeWriter::write_content(int folder, const std::string& name, const TarEntry& entry) {
    Fd file = TRY(open_at(folder, name, O_RDONLY | O_NOFOLLOW));
    TRY(tar_.add(entry));
    bytes_ += entry.size;
    if (buffer_.empty()) buffer_.resize(1U << 20U);
    for (uint64_t left = entry.size; left > 0;) {
        size_t wanted = std::min<uint64_t>(left, buffer_.size());
        ssize_t got = ::read(file.get(), buffer_.data(), wanted);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, "read " + quote(entry.name));
        if (got == 0)
            return fail(Errc::conflict, quote(entry.name) + " became shorter while it was read",
                        "stop or pause the container first");
        TRY(tar_.write_data({buffer_.data(), static_cast<size_t>(got)}));
        left -= static_cast<uint64_t>(got);
    }
    return {};
}

}  // namespace hull::layer
