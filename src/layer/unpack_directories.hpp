#pragma once

#include <sys/types.h>
#include <time.h>

#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "kernel/rooted_path.hpp"

namespace hull::layer {

/// What is to be set on a folder when everything in it is done.
struct PendingDirectory {
    bool is_implied = true;  ///< no member of its own
    bool is_below = false;   ///< a lower layer's: only its time is kept (`keep_times`)
    mode_t mode = 0755;
    uid_t uid = 0;
    gid_t gid = 0;
    timespec mtime{};
};

/// The folders of a tree that is being unpacked, by descriptor. Members of an archive come folder
/// by folder, so a few open descriptors save resolving a path for each of them. Paths are relative,
/// without "." and "..", and "" is the root.
class UnpackDirectories {
  public:
    /// @param opaque_attribute  extended attribute that marks a folder which hides what is below
    /// its layer; empty: none is set.
    static Result<std::unique_ptr<UnpackDirectories>> open(int root, std::string opaque_attribute);

    /// An open folder. `path` is its real one: no part of it is a link.
    struct Directory {
        std::string path;
        Fd fd;
    };
    using Handle = std::shared_ptr<Directory>;

    /// The folder `path`, made with all folders above it if it is missing. A link in the place of
    /// one is resolved inside the root.
    /// @errors corrupt: something else is in the place of a folder, or the links go in circles.
    Result<Handle> ensure(std::string_view path);
    /// As ensure(), but does not make what is missing. @errors not_found
    Result<Handle> find(std::string_view path);
    /// The folder `name` in `parent`, made if it is not there; what else is there is not touched.
    /// @errors exists: something that is no folder
    Result<Handle> make(const Directory& parent, const std::string& name);

    /// Folders that are there already get their times back at the end: unpacking one layer over
    /// another changes what is in them, not them.
    void keep_times() { keep_times_ = true; }
    /// What is pending has been set on its folders: forgets it, and open folders with it. A folder
    /// that gets further entries afterwards keeps its time.
    void settle();
    /// Whether a whiteout gave way to a folder that members imply.
    bool has_replaced() const { return has_replaced_; }
    /// Marks a folder as hiding everything below this layer.
    Result<void> set_opaque(const Directory& directory);
    /// Forgets open folders and pending metadata of `path` and what is below it: it was removed.
    void forget(const std::string& path);
    PendingDirectory& pending(const std::string& path) { return pending_[path]; }
    /// In order of their names: parents first.
    const std::map<std::string, PendingDirectory>& all_pending() const { return pending_; }
    /// Whether `path` or a folder above it hides everything below this layer.
    bool is_opaque(std::string_view path) const;

  private:
    UnpackDirectories(kernel::RootedPath root, std::string opaque_attribute)
        : root_(std::move(root)), opaque_attribute_(std::move(opaque_attribute)) {}
    Result<Handle> resolve(std::string_view path, bool make_missing, int depth);
    Result<Handle> resolve_last(const Handle& parent, const std::string& name, bool make_missing,
                                int depth);
    Handle remember(std::string key, Handle directory);

    kernel::RootedPath root_;
    std::string opaque_attribute_;
    bool keep_times_ = false;
    bool has_replaced_ = false;
    std::map<std::string, PendingDirectory> pending_;
    std::set<std::string, std::less<>> opaque_;
    /// By the path that was asked for, which may lead over links. Newest first.
    std::list<std::pair<std::string, Handle>> open_;
    std::unordered_map<std::string_view, std::list<std::pair<std::string, Handle>>::iterator>
        known_;
};

/// "usr" and "lib" of "usr/lib"; "" and "usr" of "usr".
struct SplitPath {
    std::string_view parent;
    std::string_view name;
};
SplitPath split_path(std::string_view path);

}  // namespace hull::layer
