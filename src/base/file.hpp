#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull {

/// The whole file. @errors invalid: larger than `limit` bytes.
Result<std::string> read_file(const std::string& path, size_t limit = 64U << 20U);

/// Replaces `path` as one step: a temporary file beside it, then rename(2); a reader sees the old
/// or the new content, never a part, and after a failure no temporary file is left.
struct WriteOptions {
    mode_t mode = 0644;
    bool durable = false;  ///< fsync(2) the file and its folder: survives a power loss
};
Result<void> write_file_atomically(const std::string& path, std::string_view content,
                                   WriteOptions options = {});

/// mkdir -p: existing folders stay as they are.
Result<void> create_directories(const std::string& path, mode_t mode = 0755);
/// rm -rf, without following symbolic links; a missing path is no error.
Result<void> remove_tree(const std::string& path);
/// As remove_tree(), of `name` inside the open folder `directory`.
Result<void> remove_tree_at(int directory, const std::string& name);
/// Names in a folder, sorted, without "." and "..".
Result<std::vector<std::string>> list_directory(const std::string& path);
bool path_exists(const std::string& path);

/// Joins with exactly one slash; an absolute `tail` is taken as relative.
std::string join_path(std::string_view head, std::string_view tail);
std::string parent_path(std::string_view path);
std::string base_name(std::string_view path);
/// Removes ".", ".." (never above the start), double and trailing slashes, as text only.
std::string clean_path(std::string_view path);
Result<std::string> absolute_path(const std::string& path);

/// A lock on a file (flock(2)), held until destroyed or the process ends. The file stays: removing
/// a lock file is a race.
class LockFile {
  public:
    enum class Kind { shared, exclusive };
    /// Waits for the lock. Creates the file (mode 0600) if it is missing.
    static Result<LockFile> acquire(const std::string& path, Kind kind = Kind::exclusive);
    /// @errors conflict: somebody else holds it.
    static Result<LockFile> try_acquire(const std::string& path, Kind kind = Kind::exclusive);
    int fd() const { return fd_.get(); }

  private:
    explicit LockFile(Fd fd) : fd_(std::move(fd)) {}
    Fd fd_;
};

}  // namespace hull
