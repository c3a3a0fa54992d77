#include "store/snapshots.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "base/file.hpp"
#include "base/text.hpp"
#include "store/snapshot_copy.hpp"
#include "store/snapshot_overlay.hpp"
#include "store/snapshot_record.hpp"
#include "store/trash.hpp"

namespace hull::store {
namespace {

Result<void> check_id(const std::string& id) {
    bool is_name = !id.empty() && id.size() <= 200 && id[0] != '.' &&
                   std::all_of(id.begin(), id.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ||
                              c == '+';
                   });
    if (!is_name) return fail(Errc::invalid, "snapshot id " + quote(id) + ": is no file name");
    return {};
}

Result<SnapshotMounts> describe(const Store& store, const std::string& directory,
                                const SnapshotRecord& record) {
    SnapshotMounts mounts;
    mounts.driver = record.driver;
    mounts.directory = directory;
    // What root stores has the image's own ids; an ordinary user's lies in his own range.
    mounts.plain_ids = !record.userxattr;
    mounts.userxattr = record.userxattr;
    if (record.driver == SnapshotDriver::copy) {
        mounts.upper = directory + "/root";
        return mounts;
    }
    mounts.lower = TRY(store.layers().lower_directories(record.diff_ids));
    mounts.upper = directory + "/upper";
    mounts.work = directory + "/work";
    return mounts;
}

/// Nobody else's while the store is locked; what a kill leaves is an abandoned staging.
Result<std::string> create_staging(const Store& store, const std::string& id) {
    std::string path = store.root() + "/staging/snapshot-" + id + "-" + std::to_string(::getpid());
    if (::mkdir(path.c_str(), 0700) == 0) return path;
    if (errno != EEXIST) return fail_errno(errno, "create " + path);
    TRY(remove_tree(path));  // left by a killed process of the same number
    if (::mkdir(path.c_str(), 0700) < 0) return fail_errno(errno, "create " + path);
    return path;
}

Result<void> publish(const std::string& staged, const std::string& directory,
                     const std::string& id) {
    if (::renameat2(AT_FDCWD, staged.c_str(), AT_FDCWD, directory.c_str(), RENAME_NOREPLACE) == 0)
        return {};
    if (errno == EEXIST) return fail(Errc::exists, "snapshot " + id + " exists");
    return fail_errno(errno, "rename " + staged + " to " + directory);
}

}  // namespace

Result<SnapshotMounts> Snapshots::create(const SnapshotRequest& request) const {
    TRY(check_id(request.id));
    // Against collect, until the record says what this snapshot needs.
    LockFile lock = TRY(store_->lock(LockFile::Kind::shared));
    std::vector<std::string> lower = TRY(store_->layers().lower_directories(request.diff_ids));
    std::string directory = store_->root() + "/snapshots/" + request.id;
    // Made whole before it has its name, so that one without a record is always a damaged one.
    std::string staged = TRY(create_staging(*store_, request.id));
    SnapshotRecord record{request.driver, request.diff_ids, ::geteuid() != 0};
    if (!request.diff_ids.empty())
        record.userxattr = TRY(store_->layers().record(request.diff_ids.back())).userxattr;
    auto made = request.driver == SnapshotDriver::overlay ? create_overlay(staged, lower)
                                                          : copy_layers(lower, staged + "/root");
    if (made) made = save_snapshot_record(staged, record);
    if (made) made = publish(staged, directory, request.id);
    if (!made) {
        (void)remove_tree(staged);
        return fail(std::move(made).error().with_context("create snapshot " + request.id));
    }
    return describe(*store_, directory, record);
}

Result<SnapshotMounts> Snapshots::mounts(const std::string& id) const {
    TRY(check_id(id));
    std::string directory = store_->root() + "/snapshots/" + id;
    if (!path_exists(directory)) return fail(Errc::not_found, "snapshot " + id + " does not exist");
    return describe(*store_, directory, TRY(load_snapshot_record(directory)));
}

Result<std::vector<std::string>> Snapshots::list() const {
    return list_directory(store_->root() + "/snapshots");
}

Result<bool> Snapshots::remove(const std::string& id) const {
    TRY(check_id(id));
    std::string trashed = TRY(move_to_trash(store_->root(), store_->root() + "/snapshots/" + id));
    if (trashed.empty()) return true;
    return delete_trashed(trashed);
}

}  // namespace hull::store
