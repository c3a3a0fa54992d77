#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "base/text.hpp"
#include "kernel/rooted_path.hpp"
#include "layer/unpacker.hpp"

namespace hull::layer {
namespace {

/// A bomb shall not take the last bytes of the machine's disk.
constexpr uint64_t kReserve = 64U << 20U;
constexpr uint64_t kReserveCheckEvery = 256U << 20U;

bool may_set(std::string_view attribute) {
    return !attribute.starts_with("trusted.") && !attribute.starts_with("user.overlay.") &&
           attribute != "security.selinux" && attribute != "security.ima" &&
           attribute != "security.evm";
}

}  // namespace

bool Unpacker::needs_owner(const TarEntry& entry) const {
    // In a finished folder that has set-gid, what is made gets the folder's group.
    return options_.set_owners && (entry.uid != uid_ || entry.gid != gid_ || is_settled_);
}

Error Unpacker::owner_error(int cause, const TarEntry& entry) {
    std::string owner = std::to_string(entry.uid) + ":" + std::to_string(entry.gid);
    if (cause == EINVAL || cause == EPERM)
        return make_error(Errc::denied,
                          "owner " + owner + " of " + quote(entry.name) +
                              " lies outside of the ids this user may give",
                          "give the user more ids in /etc/subuid and /etc/subgid (usermod "
                          "--add-subuids)");
    return errno_error(cause, "chown " + quote(entry.name) + " to " + owner);
}

Result<void> Unpacker::add_file(const TarEntry& entry, const Directory& parent,
                                const std::string& name, TarReader& reader) {
    // Not readable for others before its owner is right.
    mode_t mode = entry.mode & 0777U;
    Fd file{TRY(make_entry(parent, name, [&] {
        return ::openat(parent.fd.get(), name.c_str(),
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    }))};
    TRY(write_content(file.get(), entry, reader));
    report_.file_bytes += entry.size;
    bool has_owner = needs_owner(entry);
    if (has_owner && ::fchown(file.get(), entry.uid, entry.gid) < 0)
        return fail(owner_error(errno, entry));
    // After chown, which clears set-id bits.
    if ((entry.mode & 07000U) != 0 || (mode & umask_) != 0)
        if (::fchmod(file.get(), entry.mode & 07777U) < 0)
            return fail_errno(errno, "chmod " + quote(entry.name));
    TRY(set_attributes(file.get(), entry));
    std::array<timespec, 2> times{entry.mtime, entry.mtime};
    if (::futimens(file.get(), times.data()) < 0)
        return fail_errno(errno, "set the time of " + quote(entry.name));
    return {};
}

Result<void> Unpacker::write_content(int file, const TarEntry& entry, TarReader& reader) {
    uint64_t written = 0;
    for (;;) {
        TarData data = TRY(reader.read_data());
        if (data.bytes.empty() && data.offset <= written) break;
        if (data.offset > entry.size || data.bytes.size() > entry.size - data.offset)
            return fail(Errc::corrupt, "tar: a file is longer than its header says");
        TRY(account(file, data.bytes.size()));
        uint64_t position = data.offset;
        while (!data.bytes.empty()) {
            ssize_t done =
                ::pwrite(file, data.bytes.data(), data.bytes.size(), static_cast<off_t>(position));
            if (done < 0 && errno == EINTR) continue;
            if (done < 0) return fail_errno(errno, "write " + quote(entry.name));
            data.bytes.remove_prefix(static_cast<size_t>(done));
            position += static_cast<uint64_t>(done);
        }
        if (position == written) break;
        written = position;
    }
    if (written < entry.size) {  // a hole at the end
        if (!entry.sparse) return fail(Errc::corrupt, "tar: a file is shorter than its header");
        if (::ftruncate(file, static_cast<off_t>(entry.size)) < 0)
            return fail_errno(errno, "extend " + quote(entry.name));
    }
    return {};
}

Result<void> Unpacker::account(int file, uint64_t bytes) {
    report_.bytes += bytes;
    if (report_.bytes > options_.max_bytes)
        return fail(Errc::invalid,
                    "the layer holds more than " + std::to_string(options_.max_bytes) + " bytes");
    if (report_.bytes < next_check_) return {};
    next_check_ = report_.bytes + kReserveCheckEvery;
    struct statvfs info{};
    if (::fstatvfs(file, &info) == 0 && info.f_bavail * info.f_frsize < kReserve)
        return fail_errno(ENOSPC, "less than 64 MiB are left on the store's file system");
    return {};
}

Result<void> Unpacker::add_symlink(const TarEntry& entry, const Directory& parent,
                                   const std::string& name) {
    TRY(make_entry(parent, name,
                   [&] { return ::symlinkat(entry.link.c_str(), parent.fd.get(), name.c_str()); }));
    for (const auto& [attribute, value] : entry.xattrs) {
        auto set = may_set(attribute)
                       ? kernel::set_xattr_at(parent.fd.get(), name, attribute, value)
                       : Result<void>{fail(Errc::unsupported, attribute)};
        if (!set) skip(report_.skipped_xattrs, entry.name);
    }
    return set_owner_and_time(entry, parent, name);
}

Result<void> Unpacker::set_owner_and_time(const TarEntry& entry, const Directory& parent,
                                          const std::string& name) {
    if (needs_owner(entry) &&
        ::fchownat(parent.fd.get(), name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(owner_error(errno, entry));
    std::array<timespec, 2> times{entry.mtime, entry.mtime};
    if (::utimensat(parent.fd.get(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "set the time of " + quote(entry.name));
    return {};
}

Result<void> Unpacker::add_hard_link(const TarEntry& entry, const Directory& parent,
                                     const std::string& name) {
    std::string target = TRY(clean_member_name(entry.link));
    auto missing = [&](std::string_view why) {
        return fail(Errc::corrupt, "tar: hard link " + quote(entry.name) + " to " +
                                       quote(entry.link) + ": " + std::string{why});
    };
    if (target.empty()) return missing("a folder cannot be linked");
    auto [folder_path, last] = split_path(target);
    auto folder = directories_->find(folder_path);
    if (!folder) return missing("the target is not in this layer");
    std::string target_name{last};
    struct stat info{};
    if (::fstatat((*folder)->fd.get(), target_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
        return missing("the target is not in this layer");
    if (S_ISDIR(info.st_mode) || is_whiteout(info)) return missing("the target is no file");
    if (below(**folder, target_name) == below(parent, name)) return {};  // to itself
    if (S_ISREG(info.st_mode)) report_.file_bytes += static_cast<uint64_t>(info.st_size);
    TRY(make_entry(parent, name, [&] {
        return ::linkat((*folder)->fd.get(), target_name.c_str(), parent.fd.get(), name.c_str(), 0);
    }));
    return {};
}

Result<void> Unpacker::add_fifo(const TarEntry& entry, const Directory& parent,
                                const std::string& name) {
    TRY(make_entry(parent, name,
                   [&] { return ::mknodat(parent.fd.get(), name.c_str(), S_IFIFO | 0600, 0); }));
    if (needs_owner(entry) &&
        ::fchownat(parent.fd.get(), name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(owner_error(errno, entry));
    if (::fchmodat(parent.fd.get(), name.c_str(), entry.mode & 07777U, 0) < 0)
        return fail_errno(errno, "chmod " + quote(entry.name));
    TarEntry rest = entry;
    rest.uid = uid_;
    rest.gid = gid_;
    return set_owner_and_time(rest, parent, name);
}

Result<void> Unpacker::set_attributes(int fd, const TarEntry& entry) {
    for (const auto& [attribute, value] : entry.xattrs)
        TRY(set_attribute(fd, entry, attribute, value));
    return {};
}

Result<void> Unpacker::set_attribute(int fd, const TarEntry& entry, const std::string& attribute,
                                     const std::string& value) {
    if (!may_set(attribute))
        skip(report_.skipped_xattrs, entry.name);
    else if (::fsetxattr(fd, attribute.c_str(), value.data(), value.size(), 0) < 0)
        return judge_attribute(errno, entry, attribute);
    return {};
}

Result<void> Unpacker::judge_attribute(int cause, const TarEntry& entry,
                                       const std::string& attribute) {
    // ACLs need a file system with ACLs, user.* one with attributes: a file without is of use.
    // A capability that got lost would make a program fail in ways nobody could explain.
    bool is_needed = attribute == "security.capability" && options_.set_owners;
    if (!is_needed && (cause == ENOTSUP || cause == EPERM || cause == EINVAL || cause == ENOSPC ||
                       cause == E2BIG)) {
        skip(report_.skipped_xattrs, entry.name);
        return {};
    }
    if (!options_.set_owners) {
        skip(report_.skipped_xattrs, entry.name);
        return {};
    }
    return fail_errno(cause, "set " + quote(attribute) + " of " + quote(entry.name),
                      "the store's file system must have extended attributes");
}

}  // namespace hull::layer
