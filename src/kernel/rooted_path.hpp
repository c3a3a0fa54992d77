#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// What happens to a symbolic link on the way.
enum class Links {
    inside,  ///< followed, with "/" and ".." meaning the root (RESOLVE_IN_ROOT)
    refuse,  ///< an error, anywhere in the path (RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS)
};

/// A device, fifo or socket to make.
struct NodeRequest {
    mode_t mode = 0;  ///< type and permissions: S_IFCHR | 0666
    dev_t device = 0;
};

/// The content of a directory entry.
struct DirectoryEntry {
    std::string name;
    unsigned char type = 0;  ///< DT_*; DT_UNKNOWN where the file system does not say
};

/// A directory tree that nothing named by a path can lead out of: paths are resolved by openat2(2)
/// against the root's descriptor, magic links never followed, so neither "..", nor an absolute
/// link, nor a directory exchanged for a link in mid-air reaches the host. The path "/etc" and
/// "etc" are the same; "" and "/" are the root itself.
///
/// Verbs that make, change or remove an entry resolve its parent by `Links` and then act on the
/// last component by descriptor, never following it. A last component of ".." or "." is refused.
/// Errors name the path inside the root: not_found, exists, denied, and invalid for a path that is
/// refused. Modes are subject to the umask(2). The object may be used by several threads.
class RootedPath {
  public:
    /// The tree below a host path, which is followed as usual.
    static Result<RootedPath> open(const std::string& host_path);
    /// Takes over a descriptor of a directory (a detached mount works).
    static Result<RootedPath> adopt(Fd directory);
    Result<RootedPath> duplicate() const;

    /// The root's descriptor (O_PATH or better).
    int fd() const { return root_.get(); }
    /// The links policy for all verbs; `inside` at first.
    void set_links(Links links) { links_ = links; }
    /// Also refuses to cross into another mount (RESOLVE_NO_XDEV).
    void set_one_mount(bool on) { one_mount_ = on; }

    /// Opens with open(2) flags; O_CLOEXEC is added. A last link is followed (inside the root)
    /// unless O_NOFOLLOW is given. With O_CREAT prefer create_file().
    Result<Fd> open_file(std::string_view path, int flags, mode_t mode = 0) const;
    /// O_PATH descriptor of whatever is there; a last link is followed.
    Result<Fd> open_target(std::string_view path) const;
    /// O_PATH descriptor of the entry itself, be it a link.
    Result<Fd> open_entry(std::string_view path) const;
    /// O_PATH descriptor of a directory.
    Result<Fd> open_directory(std::string_view path) const;
    /// A RootedPath of a directory inside, with the same policy.
    Result<RootedPath> enter(std::string_view path) const;

    /// What holds an entry, and the entry's name in it.
    struct Parent {
        Fd directory;  ///< O_PATH
        std::string name;
    };
    Result<Parent> open_parent(std::string_view path) const;

    /// A new file, written through the returned descriptor (O_RDWR). Existing entries of any kind
    /// are an error (O_EXCL), so nothing is ever written through a link.
    Result<Fd> create_file(std::string_view path, mode_t mode) const;
    /// mkdir(2) of the last component. @errors exists
    Result<void> make_directory(std::string_view path, mode_t mode) const;
    /// mkdir -p, descriptor by descriptor. Links on the way are followed inside the root, also
    /// dangling ones (what they point to is made), unless `Links::refuse`.
    /// @return  O_PATH descriptor of the last directory.
    Result<Fd> make_directories(std::string_view path, mode_t mode) const;
    /// A mount target: the directory (mkdir -p) or, with `is_file`, an empty file in its directory;
    /// an existing one is taken as it is. @return  O_PATH descriptor to mount onto.
    /// @errors invalid: it is there and of the other type
    Result<Fd> make_mount_target(std::string_view path, bool is_file) const;
    Result<void> make_symlink(std::string_view path, const std::string& target) const;
    Result<void> make_node(std::string_view path, const NodeRequest& request) const;
    /// Hard link; the last component of `existing` is not followed.
    Result<void> make_link(std::string_view existing, std::string_view path) const;

    /// rename(2) inside the root; `flags` of renameat2(2).
    Result<void> rename(std::string_view from, std::string_view to, unsigned int flags = 0) const;
    /// unlink(2): not a directory.
    Result<void> remove_file(std::string_view path) const;
    Result<void> remove_directory(std::string_view path) const;
    /// rm -rf by descriptors; a missing path is no error. Does not cross mounts. The root itself
    /// cannot be removed, only emptied (remove_content).
    Result<void> remove_tree(std::string_view path) const;
    /// Everything in a directory, not the directory.
    Result<void> remove_content(std::string_view path) const;

    /// lstat(2). nullopt: not there.
    Result<std::optional<struct stat>> find(std::string_view path) const;
    /// lstat(2). @errors not_found
    Result<struct stat> stat(std::string_view path) const;
    /// stat(2), links followed inside. @errors not_found
    Result<struct stat> stat_target(std::string_view path) const;
    Result<std::string> read_link(std::string_view path) const;
    /// In the file system's order, without "." and "..".
    Result<std::vector<DirectoryEntry>> list(std::string_view path) const;
    /// A whole regular file; a last link is followed inside. @errors invalid: over `limit` bytes,
    /// or not a regular file (a fifo would block the reader)
    Result<std::string> read_file(std::string_view path, size_t limit = 16U << 20U) const;

    /// Of the entry itself, links not followed.
    Result<void> set_owner(std::string_view path, uid_t uid, gid_t gid) const;
    /// Permissions with set-id and sticky bits. @errors unsupported: it is a link
    Result<void> set_mode(std::string_view path, mode_t mode) const;
    Result<void> set_times(std::string_view path, const timespec& access,
                           const timespec& modification) const;
    Result<void> set_xattr(std::string_view path, const std::string& name,
                           std::string_view value) const;
    /// nullopt: not set.
    Result<std::optional<std::string>> find_xattr(std::string_view path,
                                                  const std::string& name) const;
    Result<std::vector<std::string>> list_xattrs(std::string_view path) const;
    Result<void> remove_xattr(std::string_view path, const std::string& name) const;

  private:
    RootedPath(Fd root) : root_(std::move(root)) {}
    Result<Fd> resolve(std::string_view path, int flags, mode_t mode) const;
    uint64_t resolve_flags() const;
    Fd root_;
    Links links_ = Links::inside;
    bool one_mount_ = false;
};

// The same by descriptor, for callers that hold a directory's descriptor already (an unpacker that
// writes many entries of one directory). `name` is one component.

/// chmod by an O_PATH descriptor (fchmodat2(2), 6.6; else through /proc/self/fd).
Result<void> set_mode_of(int fd, mode_t mode);
Result<void> set_xattr_at(int directory, const std::string& name, const std::string& attribute,
                          std::string_view value);
Result<std::optional<std::string>> find_xattr_at(int directory, const std::string& name,
                                                 const std::string& attribute);
Result<std::vector<std::string>> list_xattrs_at(int directory, const std::string& name);
Result<void> remove_xattr_at(int directory, const std::string& name, const std::string& attribute);
/// Entries of a directory given by a descriptor (O_PATH works).
Result<std::vector<DirectoryEntry>> list_directory_at(int directory);
/// Reopens an O_PATH descriptor with other flags (O_RDONLY), through /proc/self/fd: only for
/// descriptors that were opened safely.
Result<Fd> reopen(int fd, int flags);

}  // namespace hull::kernel
