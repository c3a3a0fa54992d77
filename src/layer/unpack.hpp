#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "layer/stream.hpp"

namespace hull::layer {

/// How whiteouts (".wh.NAME", ".wh..wh..opq") are carried out.
enum class WhiteoutForm {
    overlay_trusted,  ///< character device 0/0, trusted.overlay.opaque: mounted by root
    overlay_user,     ///< character device 0/0, user.overlay.opaque: overlay's userxattr
    apply,            ///< delete what lies there: unpacking one layer over another
    keep,             ///< as plain files, for looking at a layer
};

struct UnpackOptions {
    WhiteoutForm whiteouts = WhiteoutForm::overlay_trusted;
    /// Give files their owners. Off only where the caller is not root in any namespace (tests).
    bool set_owners = true;
    uint64_t max_entries = 4'000'000;
    /// Folders whose modes and times are remembered, to be set when all is in them (about 150 bytes
    /// each): when there are more, those so far are finished early.
    size_t pending_folders = 50'000;
    uint64_t max_bytes = 1ULL << 40U;  ///< content of regular files, holes not counted
};

struct UnpackReport {
    uint64_t entries = 0;
    uint64_t bytes = 0;         ///< content of regular files
    uint32_t highest_id = 0;    ///< highest uid or gid of any member
    uint64_t names = 0;         ///< entries in the tree that are no folders
    uint64_t file_bytes = 0;    ///< sum of the sizes of regular files, by name
    bool has_replaced = false;  ///< a member took the place of another: the two above are not exact
    /// Folders without a member of their own.
    std::vector<std::string> implied_directories;
    uint64_t skipped_devices = 0;  ///< device nodes are never made
    uint64_t skipped_xattrs = 0;   ///< trusted.*, overlay's own, and what this file system lacks
    std::string first_skipped;     ///< name of the first member left out, for the warning
};

/// Options that fit this process: overlay_user inside a user namespace; owners when it is root.
UnpackOptions unpack_options_here();

/// Unpacks the tar archive `tar` below the open folder `root` and nowhere else: folders are opened
/// beneath it without following links (openat2); a link of the archive itself that stands in the
/// place of a folder is resolved as if `root` were the root of the file system, as docker does it.
/// A name that climbs out by ".." refuses the archive; an absolute one is taken as relative. The
/// last of equal names wins. Reads `tar` to its end. Nobody else may write below `root` meanwhile.
/// @errors corrupt: not a tar, a hard link to what is not there, a name that cannot be; denied: an
/// owner outside the namespace; io: disk full, with the member's name.
/// @see OCI image-spec layer.md; Linux Documentation/filesystems/overlayfs.rst.
Result<UnpackReport> unpack_tar(ByteSource& tar, int root, const UnpackOptions& options);

}  // namespace hull::layer
