#pragma once

#include <sys/stat.h>

#include <cerrno>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/text.hpp"
#include "layer/name_set.hpp"
#include "layer/tar.hpp"
#include "layer/unpack.hpp"
#include "layer/unpack_directories.hpp"

namespace hull::layer {

/// Relative, without ".", double or trailing slashes.
/// @errors corrupt: leads out by "..", too long, or holds a NUL.
Result<std::string> clean_member_name(std::string_view name);

/// A character device 0/0: overlayfs' mark for what a layer takes away.
bool is_whiteout(const struct stat& info);

/// Unpacks one archive (see unpack_tar).
class Unpacker {
  public:
    Unpacker(std::unique_ptr<UnpackDirectories> directories, const UnpackOptions& options);
    Result<UnpackReport> run(ByteSource& tar);

  private:
    using Handle = UnpackDirectories::Handle;
    using Directory = UnpackDirectories::Directory;

    Result<void> add(const TarEntry& entry, TarReader& reader);
    static Error explain(Error error, const std::string& name);
    void skip(uint64_t& counter, const std::string& what);
    static std::string below(const Directory& parent, std::string_view name);

    /// Calls `make` until it finds its place free: what is there is removed, the last of equal
    /// names wins.
    template <typename Make>
    Result<int> make_entry(const Directory& parent, const std::string& name, Make make) {
        int made = make();
        if (made < 0 && errno == EEXIST) {
            TRY(remove_existing(parent, name));
            made = make();
        }
        if (made < 0) return fail_errno(errno, "create " + quote(below(parent, name)));
        ++report_.names;
        return made;
    }

    Result<void> remove_existing(const Directory& parent, const std::string& name);

    // unpack_files.cpp
    Result<void> add_file(const TarEntry& entry, const Directory& parent, const std::string& name,
                          TarReader& reader);
    Result<void> write_content(int file, const TarEntry& entry, TarReader& reader);
    Result<void> account(int file, uint64_t bytes);
    Result<void> add_symlink(const TarEntry& entry, const Directory& parent,
                             const std::string& name);
    Result<void> add_hard_link(const TarEntry& entry, const Directory& parent,
                               const std::string& name);
    Result<void> add_fifo(const TarEntry& entry, const Directory& parent, const std::string& name);
    bool needs_owner(const TarEntry& entry) const;
    static Error owner_error(int cause, const TarEntry& entry);
    Result<void> set_owner_and_time(const TarEntry& entry, const Directory& parent,
                                    const std::string& name);
    Result<void> set_attributes(int fd, const TarEntry& entry);
    Result<void> set_attribute(int fd, const TarEntry& entry, const std::string& attribute,
                               const std::string& value);
    Result<void> judge_attribute(int cause, const TarEntry& entry, const std::string& attribute);

    // unpack_folders.cpp
    Result<void> add_directory(const TarEntry& entry, const Directory& parent,
                               const std::string& name);
    /// The metadata of a folder is set at the end: making entries changes its time, and its mode
    /// may keep out even its owner.
    Result<void> make_directory(const TarEntry& entry, const Handle& folder);
    Result<void> finish_directories();
    /// Finishes all folders so far when they are so many that remembering them takes memory.
    Result<void> bound_pending();
    Result<void> set_default_acls();

    // unpack_whiteouts.cpp
    Result<void> add_whiteout(const Handle& parent, std::string_view name);
    Result<void> add_opaque(const Handle& parent);
    /// Whiteouts are about the layers below: what this one made stays.
    Result<void> apply_whiteout(const Directory& parent, const std::string& name);
    Result<void> empty_folder(const Directory& folder);

    std::unique_ptr<UnpackDirectories> directories_;
    UnpackOptions options_;
    mode_t umask_;
    uid_t uid_;
    gid_t gid_;
    UnpackReport report_;
    uint64_t next_check_ = 0;
    NameSet made_;                   ///< WhiteoutForm::apply only
    std::set<std::string> implied_;  ///< folders without a member of their own
    /// By folder. Set last of all: what is made in a folder that has one inherits it.
    std::map<std::string, std::string> default_acls_;
    bool is_settled_ = false;  ///< some folders were finished before the end
};

}  // namespace hull::layer
