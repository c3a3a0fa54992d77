#include "store/layers.hpp"

#include <fcntl.h>
#include <fts.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>

#include "base/file.hpp"
#include "base/text.hpp"
#include "store/layer_record.hpp"
#include "store/trash.hpp"

namespace hull::store {
namespace {

bool is_there(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

/// Walks a tree as LayerRecord::Count says.
/// @return false: something could not be read.
bool count_tree(const std::string& path, LayerRecord::Count& count) {
    std::string copy = path;
    std::array<char*, 2> roots{copy.data(), nullptr};
    std::unique_ptr<FTS, decltype(&::fts_close)> walk{
        ::fts_open(roots.data(), FTS_PHYSICAL | FTS_NOCHDIR, nullptr), &::fts_close};
    if (!walk) return false;
    bool is_whole = true;
    while (FTSENT* entry = ::fts_read(walk.get())) {
        switch (entry->fts_info) {
            case FTS_D:
            case FTS_DP:
                break;
            case FTS_DNR:
            case FTS_ERR:
            case FTS_NS:
                is_whole = false;
                break;
            default:
                ++count.names;
                if (S_ISREG(entry->fts_statp->st_mode))
                    count.file_bytes += static_cast<uint64_t>(entry->fts_statp->st_size);
        }
    }
    return is_whole;
}

/// Whether a tree from before a restart has all it had.
bool survived_restart(const std::string& folder, const LayerRecord& record) {
    if (!record.count) return false;
    LayerRecord::Count found;
    bool is_whole = count_tree(folder + "/tree", found);
    if (is_whole && found == *record.count) {
        (void)open_path(folder + "/durable", O_WRONLY | O_CREAT, 0644);
        return true;
    }
    // An ordinary user cannot look into a few folders outside of the namespace that owns them: what
    // lies there is not missed.
    return !is_whole && ::geteuid() != 0 && found.names <= record.count->names &&
           found.file_bytes <= record.count->file_bytes;
}

}  // namespace

StagedLayer::StagedLayer(StagedLayer&& other) noexcept
    : path_(std::move(other.path_)),
      directory_(std::move(other.directory_)),
      tree_(std::move(other.tree_)) {
    other.path_.clear();
}

StagedLayer::~StagedLayer() {
    if (path_.empty()) return;
    tree_.reset();
    // What cannot be removed here is found by the next collect: its lock is free then.
    (void)remove_tree(path_);
}

std::string Layers::directory(const spec::Digest& diff_id) const {
    return root_ + "/layers/" + std::string{spec::algorithm_name(diff_id.algorithm())} + "/" +
           diff_id.hex();
}

std::string Layers::tree_path(const spec::Digest& diff_id) const {
    return directory(diff_id) + "/tree";
}

bool Layers::has(const spec::Digest& diff_id) const {
    if (diff_id.is_empty()) return false;
    std::string folder = directory(diff_id);
    if (!is_there(folder + "/tree")) return false;
    if (is_there(folder + "/durable")) return true;
    auto record = load_layer_record(folder);
    return record && (record->boot_id == current_boot_id() || survived_restart(folder, *record));
}

Result<LayerRecord> Layers::record(const spec::Digest& diff_id) const {
    return load_layer_record(directory(diff_id));
}

Result<std::vector<spec::Digest>> Layers::list() const {
    std::vector<spec::Digest> layers;
    for (auto algorithm : {spec::DigestAlgorithm::sha256, spec::DigestAlgorithm::sha512}) {
        std::string name{spec::algorithm_name(algorithm)};
        for (const std::string& entry : TRY(list_directory(root_ + "/layers/" + name)))
            if (auto digest = spec::Digest::parse(name + ":" + entry)) layers.push_back(*digest);
    }
    return layers;
}

Result<StagedLayer> Layers::create_staging() const {
    static std::atomic<unsigned> counter{0};
    for (;;) {
        std::string path = root_ + "/staging/" + std::to_string(::getpid()) + "-" +
                           std::to_string(counter.fetch_add(1));
        // A store lock keeps collect from seeing the folder between mkdir and flock.
        LockFile lock = TRY(LockFile::acquire(root_ + "/lock", LockFile::Kind::shared));
        if (::mkdir(path.c_str(), 0755) < 0) {
            if (errno == EEXIST) continue;  // left by a killed process of the same number
            return fail_errno(errno, "create " + path);
        }
        Fd folder = TRY(open_path(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        if (::flock(folder.get(), LOCK_EX | LOCK_NB) < 0) return fail_errno(errno, "lock " + path);
        if (::mkdirat(folder.get(), "tree", 0755) < 0)
            return fail_errno(errno, "create " + path + "/tree");
        Fd tree = TRY(open_at(folder.get(), "tree", O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
        if (::fchmod(tree.get(), 0755) < 0) return fail_errno(errno, "chmod " + path + "/tree");
        return StagedLayer{std::move(path), std::move(folder), std::move(tree)};
    }
}

Result<void> Layers::publish(StagedLayer staged, const LayerRecord& record) const {
    TRY(save_layer_record(staged.path(), record));
    std::string target = directory(record.diff_id);
    LockFile lock = TRY(LockFile::acquire(root_ + "/lock", LockFile::Kind::shared));
    for (;;) {
        if (::renameat2(AT_FDCWD, staged.path_.c_str(), AT_FDCWD, target.c_str(),
                        RENAME_NOREPLACE) == 0) {
            staged.path_.clear();
            return {};
        }
        if (errno != EEXIST) return fail_errno(errno, "rename " + staged.path_ + " to " + target);
        if (has(record.diff_id)) return {};  // another process was first; ours goes
        TRY(remove(record.diff_id));         // one from before an unclean restart
    }
}

Result<void> Layers::remove(const spec::Digest& diff_id) const {
    std::string trashed = TRY(move_to_trash(root_, directory(diff_id)));
    if (!trashed.empty()) TRY(delete_trashed(trashed));
    return {};
}

}  // namespace hull::store
