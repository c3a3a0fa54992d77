#include "layer/unpack.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <unordered_set>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/rooted_path.hpp"
#include "layer/tar.hpp"
#include "layer/unpack_directories.hpp"

namespace hull::layer {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr size_t kMaxName = 4096;
/// A bomb shall not take the last bytes of the machine's disk.
constexpr uint64_t kReserve = 64U << 20U;
constexpr uint64_t kReserveCheckEvery = 256U << 20U;
constexpr uint64_t kMaxFolders = 1'000'000;

using Handle = UnpackDirectories::Handle;

/// Relative, without ".", double or trailing slashes.
/// @errors corrupt: leads out by "..", too long, or holds a NUL.
Result<std::string> clean_member_name(std::string_view name) {
    if (name.size() > kMaxName)
        return fail(Errc::corrupt,
                    "tar: a member's name is longer than 4096 bytes: " + quote(name.substr(0, 80)));
    std::string clean;
    clean.reserve(name.size());
    for (size_t start = 0; start <= name.size();) {
        size_t slash = std::min(name.find('/', start), name.size());
        std::string_view part = name.substr(start, slash - start);
        start = slash + 1;
        if (part.empty() || part == ".") continue;
        if (part == "..") {
            if (clean.empty())
                return fail(Errc::corrupt, "tar: member " + quote(name) + " leads out of its layer",
                            "the archive is hostile or badly made; nothing was unpacked");
            clean.resize(split_path(clean).parent.size());
            continue;
        }
        if (!clean.empty()) clean.push_back('/');
        clean.append(part);
    }
    return clean;
}

mode_t current_umask() {
    auto status = read_file("/proc/self/status", 1U << 16U);
    if (!status) return 07777;  // not known: every mode is set again
    for (std::string_view line : split_lines(*status))
        if (line.starts_with("Umask:"))
            return parse_number<mode_t>(trim(line.substr(6)), 8).value_or(07777);
    return 07777;
}

bool is_inside_user_namespace() {
    auto map = read_file("/proc/self/uid_map", 1U << 16U);
    if (!map) return ::geteuid() != 0;
    std::vector<std::string_view> words;
    for (std::string_view word : split(trim(*map), ' '))
        if (!trim(word).empty()) words.push_back(trim(word));
    return words != std::vector<std::string_view>{"0", "0", "4294967295"};
}

std::string opaque_attribute(WhiteoutForm form) {
    switch (form) {
        case WhiteoutForm::overlay_trusted:
            return "trusted.overlay.opaque";
        case WhiteoutForm::overlay_user:
            return "user.overlay.opaque";
        default:
            return {};
    }
}

bool is_whiteout(const struct stat& info) {
    return S_ISCHR(info.st_mode) && info.st_rdev == 0;
}

/// Unpacks one archive.
class Unpacker {
  public:
    Unpacker(std::unique_ptr<UnpackDirectories> directories, const UnpackOptions& options)
        : directories_(std::move(directories)),
          options_(options),
          umask_(current_umask()),
          uid_(::geteuid()),
          gid_(::getegid()) {}

    Result<UnpackReport> run(ByteSource& tar) {
        if (options_.whiteouts == WhiteoutForm::apply) directories_->keep_times();
        std::unique_ptr<TarReader> reader = create_tar_reader(tar);
        for (;;) {
            const TarEntry* entry = TRY(reader->next());
            if (entry == nullptr) break;
            auto added = add(*entry, *reader);
            if (!added) return fail(explain(std::move(added).error(), entry->name));
        }
        TRY(reader->drain());
        if (options_.whiteouts != WhiteoutForm::apply) directories_->pending("");
        TRY(finish_directories());
        report_.has_replaced = report_.has_replaced || directories_->has_replaced();
        return std::move(report_);
    }

  private:
    static Error explain(Error error, const std::string& name) {
        int cause = error.sys_errno;
        if (error.message.find(quote(name)) == std::string::npos)
            error = std::move(error).with_context("unpack " + quote(name.substr(0, 300)));
        if (cause == ENOSPC || cause == EDQUOT)
            return std::move(error).with_hint(
                "free space or inodes on the store's file system, or remove images with hull "
                "image prune");
        return error;
    }

    Result<void> add(const TarEntry& entry, TarReader& reader) {
        if (++report_.entries > options_.max_entries)
            return fail(Errc::invalid, "the layer has more than " +
                                           std::to_string(options_.max_entries) + " members");
        std::string path = TRY(clean_member_name(entry.name));
        report_.highest_id = std::max({report_.highest_id, entry.uid, entry.gid});
        if (path.empty()) {
            if (entry.type != TarType::directory)
                return fail(Errc::corrupt, "tar: the layer's root is no folder");
            return make_directory(entry, TRY(directories_->ensure("")));
        }
        auto [parent_path, name] = split_path(path);
        Handle parent = TRY(directories_->ensure(parent_path));
        if (name.starts_with(kWhiteout) && options_.whiteouts != WhiteoutForm::keep)
            return add_whiteout(parent, name);
        std::string last{name};
        if (options_.whiteouts == WhiteoutForm::apply) made_.insert(below(*parent, last));
        switch (entry.type) {
            case TarType::file:
                return add_file(entry, *parent, last, reader);
            case TarType::directory:
                return add_directory(entry, *parent, last);
            case TarType::symlink:
                return add_symlink(entry, *parent, last);
            case TarType::hard_link:
                return add_hard_link(entry, *parent, last);
            case TarType::fifo:
                return add_fifo(entry, *parent, last);
            case TarType::character_device:
            case TarType::block_device:
                break;
        }
        // A device of an image could never be opened in a container (nodev), and 0/0 is a whiteout.
        skip(report_.skipped_devices, path);
        return {};
    }

    void skip(uint64_t& counter, const std::string& what) {
        ++counter;
        if (report_.first_skipped.empty()) report_.first_skipped = what;
    }

    static std::string below(const UnpackDirectories::Directory& parent, std::string_view name) {
        std::string path = parent.path;
        if (!path.empty()) path.push_back('/');
        return path.append(name);
    }

    /// Calls `make` until it finds its place free: what is there is removed, the last of equal
    /// names wins.
    template <typename Make>
    Result<int> make_entry(const UnpackDirectories::Directory& parent, const std::string& name,
                           Make make) {
        int made = make();
        if (made < 0 && errno == EEXIST) {
            TRY(remove_existing(parent, name));
            made = make();
        }
        if (made < 0) return fail_errno(errno, "create " + quote(below(parent, name)));
        ++report_.names;
        return made;
    }

    Result<void> remove_existing(const UnpackDirectories::Directory& parent,
                                 const std::string& name) {
        report_.has_replaced = true;
        if (::unlinkat(parent.fd.get(), name.c_str(), 0) == 0) return {};
        if (errno != EISDIR) return fail_errno(errno, "remove " + quote(below(parent, name)));
        directories_->forget(below(parent, name));
        return remove_tree_at(parent.fd.get(), name);
    }

    bool needs_owner(const TarEntry& entry) const {
        return options_.set_owners && (entry.uid != uid_ || entry.gid != gid_);
    }

    static Error owner_error(int cause, const TarEntry& entry) {
        std::string owner = std::to_string(entry.uid) + ":" + std::to_string(entry.gid);
        if (cause == EINVAL || cause == EPERM)
            return make_error(Errc::denied,
                              "owner " + owner + " of " + quote(entry.name) +
                                  " lies outside of the ids this user may give",
                              "give the user more ids in /etc/subuid and /etc/subgid (usermod "
                              "--add-subuids)");
        return errno_error(cause, "chown " + quote(entry.name) + " to " + owner);
    }

    Result<void> add_file(const TarEntry& entry, const UnpackDirectories::Directory& parent,
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
        for (const auto& [attribute, value] : entry.xattrs) {
            if (!may_set(attribute)) {
                skip(report_.skipped_xattrs, entry.name);
            } else if (::fsetxattr(file.get(), attribute.c_str(), value.data(), value.size(), 0) <
                       0) {
                TRY(judge_attribute(errno, entry, attribute));
            }
        }
        std::array<timespec, 2> times{entry.mtime, entry.mtime};
        if (::futimens(file.get(), times.data()) < 0)
            return fail_errno(errno, "set the time of " + quote(entry.name));
        return {};
    }

    Result<void> write_content(int file, const TarEntry& entry, TarReader& reader) {
        uint64_t written = 0;
        for (;;) {
            TarData data = TRY(reader.read_data());
            if (data.bytes.empty() && data.offset <= written) break;
            if (data.offset > entry.size || data.bytes.size() > entry.size - data.offset)
                return fail(Errc::corrupt, "tar: a file is longer than its header says");
            TRY(account(file, data.bytes.size()));
            uint64_t position = data.offset;
            while (!data.bytes.empty()) {
                ssize_t done = ::pwrite(file, data.bytes.data(), data.bytes.size(),
                                        static_cast<off_t>(position));
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

    Result<void> account(int file, uint64_t bytes) {
        report_.bytes += bytes;
        if (report_.bytes > options_.max_bytes)
            return fail(Errc::invalid, "the layer holds more than " +
                                           std::to_string(options_.max_bytes) + " bytes");
        if (report_.bytes < next_check_) return {};
        next_check_ = report_.bytes + kReserveCheckEvery;
        struct statvfs info{};
        if (::fstatvfs(file, &info) == 0 && info.f_bavail * info.f_frsize < kReserve)
            return fail_errno(ENOSPC, "less than 64 MiB are left on the store's file system");
        return {};
    }

    Result<void> add_directory(const TarEntry& entry, const UnpackDirectories::Directory& parent,
                               const std::string& name) {
        auto made = directories_->make(parent, name);
        if (!made && made.error().code == Errc::exists) {
            struct stat info{};
            bool hides =
                ::fstatat(parent.fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                is_whiteout(info);
            TRY(remove_existing(parent, name));
            made = directories_->make(parent, name);
            if (made && hides) TRY(directories_->set_opaque(**made));
        }
        if (!made) return fail(std::move(made).error());
        return make_directory(entry, *made);
    }

    /// The metadata of a folder is set at the end: making entries changes its time, and its mode
    /// may keep out even its owner.
    Result<void> make_directory(const TarEntry& entry, const Handle& folder) {
        PendingDirectory& pending = directories_->pending(folder->path);
        if (directories_->all_pending().size() > kMaxFolders)
            return fail(Errc::invalid, "the layer has more than a million folders");
        pending.is_implied = false;
        pending.is_below = false;
        pending.mode = entry.mode & 07777U;
        pending.uid = entry.uid;
        pending.gid = entry.gid;
        pending.mtime = entry.mtime;
        for (const auto& [attribute, value] : entry.xattrs) {
            if (!may_set(attribute)) {
                skip(report_.skipped_xattrs, entry.name);
            } else if (::fsetxattr(folder->fd.get(), attribute.c_str(), value.data(), value.size(),
                                   0) < 0) {
                TRY(judge_attribute(errno, entry, attribute));
            }
        }
        return {};
    }

    Result<void> finish_directories() {
        const auto& all = directories_->all_pending();
        for (auto item = all.rbegin(); item != all.rend(); ++item) {
            const auto& [path, pending] = *item;
            if (pending.is_implied) report_.implied_directories.push_back(path);
            Handle folder = TRY(directories_->find(path));
            TarEntry entry;
            entry.name = path;
            entry.uid = pending.uid;
            entry.gid = pending.gid;
            if (!pending.is_below && needs_owner(entry) &&
                ::fchown(folder->fd.get(), entry.uid, entry.gid) < 0)
                return fail(owner_error(errno, entry));
            if (!pending.is_below && ::fchmod(folder->fd.get(), pending.mode) < 0)
                return fail_errno(errno, "chmod " + quote(path));
            std::array<timespec, 2> times{pending.mtime, pending.mtime};
            if (::futimens(folder->fd.get(), times.data()) < 0)
                return fail_errno(errno, "set the time of " + quote(path));
        }
        std::sort(report_.implied_directories.begin(), report_.implied_directories.end());
        return {};
    }

    Result<void> add_symlink(const TarEntry& entry, const UnpackDirectories::Directory& parent,
                             const std::string& name) {
        TRY(make_entry(parent, name, [&] {
            return ::symlinkat(entry.link.c_str(), parent.fd.get(), name.c_str());
        }));
        for (const auto& [attribute, value] : entry.xattrs) {
            auto set = may_set(attribute)
                           ? kernel::set_xattr_at(parent.fd.get(), name, attribute, value)
                           : Result<void>{fail(Errc::unsupported, attribute)};
            if (!set) skip(report_.skipped_xattrs, entry.name);
        }
        return set_owner_and_time(entry, parent, name);
    }

    Result<void> set_owner_and_time(const TarEntry& entry,
                                    const UnpackDirectories::Directory& parent,
                                    const std::string& name) {
        if (needs_owner(entry) && ::fchownat(parent.fd.get(), name.c_str(), entry.uid, entry.gid,
                                             AT_SYMLINK_NOFOLLOW) < 0)
            return fail(owner_error(errno, entry));
        std::array<timespec, 2> times{entry.mtime, entry.mtime};
        if (::utimensat(parent.fd.get(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) < 0)
            return fail_errno(errno, "set the time of " + quote(entry.name));
        return {};
    }

    Result<void> add_hard_link(const TarEntry& entry, const UnpackDirectories::Directory& parent,
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
            return ::linkat((*folder)->fd.get(), target_name.c_str(), parent.fd.get(), name.c_str(),
                            0);
        }));
        return {};
    }

    Result<void> add_fifo(const TarEntry& entry, const UnpackDirectories::Directory& parent,
                          const std::string& name) {
        TRY(make_entry(parent, name, [&] {
            return ::mknodat(parent.fd.get(), name.c_str(), S_IFIFO | 0600, 0);
        }));
        if (needs_owner(entry) && ::fchownat(parent.fd.get(), name.c_str(), entry.uid, entry.gid,
                                             AT_SYMLINK_NOFOLLOW) < 0)
            return fail(owner_error(errno, entry));
        if (::fchmodat(parent.fd.get(), name.c_str(), entry.mode & 07777U, 0) < 0)
            return fail_errno(errno, "chmod " + quote(entry.name));
        TarEntry rest = entry;
        rest.uid = uid_;
        rest.gid = gid_;
        return set_owner_and_time(rest, parent, name);
    }

    /// trusted.* is the host's; overlay's own would forge what lower layers hold.
    static bool may_set(std::string_view attribute) {
        return !attribute.starts_with("trusted.") && !attribute.starts_with("user.overlay.") &&
               attribute != "security.selinux" && attribute != "security.ima" &&
               attribute != "security.evm";
    }

    Result<void> judge_attribute(int cause, const TarEntry& entry, const std::string& attribute) {
        // ACLs need a file system with ACLs, user.* one with attributes: a file without is of use.
        // A capability that got lost would make a program fail in ways nobody could explain.
        bool is_needed = attribute == "security.capability" && options_.set_owners;
        if (!is_needed && (cause == ENOTSUP || cause == EPERM || cause == EINVAL ||
                           cause == ENOSPC || cause == E2BIG)) {
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

    Result<void> add_whiteout(const Handle& parent, std::string_view name) {
        if (name == kOpaque) return add_opaque(parent);
        std::string hidden{name.substr(kWhiteout.size())};
        if (hidden.starts_with(kWhiteout)) return {};  // AUFS' own notes
        if (hidden.empty() || hidden == "." || hidden == "..")
            return fail(Errc::corrupt, "tar: whiteout " + quote(name) + " names no file",
                        "the archive is hostile or badly made; nothing was unpacked");
        if (options_.whiteouts == WhiteoutForm::apply) return apply_whiteout(*parent, hidden);
        if (directories_->is_opaque(parent->path)) return {};  // nothing is below
        struct stat info{};
        if (::fstatat(parent->fd.get(), hidden.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
            // The layer has both: its own stays, what is below it goes.
            if (!S_ISDIR(info.st_mode)) return {};
            return directories_->set_opaque(*TRY(directories_->make(*parent, hidden)));
        }
        // An ordinary user may make this one device since Linux 5.8.
        if (::mknodat(parent->fd.get(), hidden.c_str(), S_IFCHR, 0) < 0)
            return fail_errno(errno, "create the whiteout " + quote(below(*parent, hidden)));
        ++report_.names;
        return {};
    }

    Result<void> add_opaque(const Handle& parent) {
        if (options_.whiteouts == WhiteoutForm::apply) return empty_folder(*parent);
        TRY(directories_->set_opaque(*parent));
        // Overlayfs shows whiteouts as broken files in a folder with nothing below it.
        for (const auto& entry : TRY(kernel::list_directory_at(parent->fd.get()))) {
            struct stat info{};
            if (::fstatat(parent->fd.get(), entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                is_whiteout(info) && ::unlinkat(parent->fd.get(), entry.name.c_str(), 0) == 0)
                --report_.names;
        }
        return {};
    }

    /// Whiteouts are about the layers below: what this one made stays.
    Result<void> apply_whiteout(const UnpackDirectories::Directory& parent,
                                const std::string& name) {
        if (made_.contains(below(parent, name))) return {};
        directories_->forget(below(parent, name));
        return remove_tree_at(parent.fd.get(), name);
    }

    Result<void> empty_folder(const UnpackDirectories::Directory& folder) {
        for (const auto& entry : TRY(kernel::list_directory_at(folder.fd.get())))
            TRY(apply_whiteout(folder, entry.name));
        return {};
    }

    std::unique_ptr<UnpackDirectories> directories_;
    UnpackOptions options_;
    mode_t umask_;
    uid_t uid_;
    gid_t gid_;
    UnpackReport report_;
    uint64_t next_check_ = kReserveCheckEvery;
    std::unordered_set<std::string> made_;  ///< WhiteoutForm::apply only
};

}  // namespace

UnpackOptions unpack_options_here() {
    UnpackOptions options;
    if (is_inside_user_namespace()) options.whiteouts = WhiteoutForm::overlay_user;
    options.set_owners = ::geteuid() == 0;
    return options;
}

Result<UnpackReport> unpack_tar(ByteSource& tar, int root, const UnpackOptions& options) {
    auto directories = TRY(UnpackDirectories::open(root, opaque_attribute(options.whiteouts)));
    return Unpacker{std::move(directories), options}.run(tar);
}

}  // namespace hull::layer
