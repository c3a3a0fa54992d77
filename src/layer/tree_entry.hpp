#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "layer/tar.hpp"

namespace hull::layer {

/// One entry of a tree on disk, as a member of an archive would describe it.
struct TreeEntry {
    TarEntry tar;
    struct stat info{};
    bool is_whiteout = false;  ///< one of overlayfs' two forms
    bool is_opaque = false;    ///< a folder that hides what is below its layer
};

/// Describes `name` in the open folder `folder`. `path` is its name in the archive. Extended
/// attributes of overlayfs and of the host (trusted.*, security.selinux) are left out, the others
/// sorted.
Result<TreeEntry> describe_entry(int folder, const std::string& name, const std::string& path);

/// Names in an open folder, sorted.
Result<std::vector<std::string>> sorted_names(int folder);

/// Writes members and remembers hard links.
class TreeWriter {
  public:
    explicit TreeWriter(ByteSink& sink) : tar_(sink) {}
    /// A member with its content, which is `name` in `folder`; a second name of an inode that was
    /// written becomes a hard link.
    Result<void> add(int folder, const std::string& name, TreeEntry entry);
    /// An empty file: a whiteout.
    Result<void> add_marker(const std::string& path);
    Result<void> finish() { return tar_.finish(); }
    uint64_t entries() const { return entries_; }
    uint64_t bytes() const { return bytes_; }

  private:
    Result<void> write_content(int folder, const std::string& name, const TarEntry& entry);
    TarWriter tar_;
    std::map<std::pair<dev_t, ino_t>, std::string> links_;
    std::string buffer_;
    uint64_t entries_ = 0;
    uint64_t bytes_ = 0;
};

}  // namespace hull::layer
