#include "store/collect.hpp"

#include <fcntl.h>
#include <fts.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <set>

#include "base/file.hpp"
#include "store/images.hpp"
#include "store/marks.hpp"
#include "store/trash.hpp"

namespace hull::store {
namespace {

/// Allocated bytes below `path`; each inode once.
uint64_t usage_of(const std::string& path) {
    std::string copy = path;
    std::array<char*, 2> roots{copy.data(), nullptr};
    std::unique_ptr<FTS, decltype(&::fts_close)> walk{
        ::fts_open(roots.data(), FTS_PHYSICAL | FTS_NOCHDIR, nullptr), &::fts_close};
    if (!walk) return 0;
    uint64_t blocks = 0;
    std::set<std::pair<dev_t, ino_t>> linked;
    while (FTSENT* entry = ::fts_read(walk.get())) {
        if (entry->fts_info == FTS_DP || entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR)
            continue;
        const struct stat& info = *entry->fts_statp;
        bool is_shared = info.st_nlink > 1 && !S_ISDIR(info.st_mode);
        if (is_shared && !linked.emplace(info.st_dev, info.st_ino).second) continue;
        blocks += static_cast<uint64_t>(info.st_blocks);
    }
    return blocks * 512;
}

/// Whether nobody holds a lock on the folder or file.
bool is_abandoned(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return errno == EACCES;  // its maker would hold it open, and could open it
    Fd lock{fd};
    return ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
}

Result<void> discard(const Store& store, const std::string& path) {
    TRY(move_to_trash(store.root(), path));
    return {};
}

Result<void> sweep_blobs(const Store& store, const Marks& marks, CollectReport& report) {
    for (const BlobInfo& blob : TRY(store.blobs().list())) {
        if (marks.digests.contains(blob.digest)) continue;
        ++report.blobs;
        report.freed.value += usage_of(store.blobs().path(blob.digest));
        TRY(store.blobs().remove(blob.digest));
    }
    return {};
}

Result<void> sweep_layers(const Store& store, const Marks& marks, CollectReport& report) {
    if (marks.needs_unknown_layers) return {};
    for (const spec::Digest& diff_id : TRY(store.layers().list())) {
        if (marks.digests.contains(diff_id)) continue;
        ++report.layers;
        std::string folder = parent_path(store.layers().tree_path(diff_id));
        TRY(discard(store, folder));
    }
    return {};
}

Result<void> sweep_chains(const Store& store, const Marks& marks) {
    if (marks.needs_unknown_layers) return {};
    std::set<std::string> lists;
    for (const std::vector<spec::Digest>& chain : marks.chains) {
        std::string list;
        for (const spec::Digest& diff_id : chain)
            list += diff_id.to_string() + "\n";
        lists.insert(std::move(list));
    }
    std::string folder = store.root() + "/layers/chains";
    for (const std::string& name : TRY(list_directory(folder))) {
        auto list = read_file(folder + "/" + name + "/list");
        if (list && lists.contains(*list)) continue;
        TRY(discard(store, folder + "/" + name));
    }
    return {};
}

/// What killed processes left.
Result<void> sweep_remains(const Store& store, const CollectOptions& options) {
    std::string staging = store.root() + "/staging";
    for (const std::string& name : TRY(list_directory(staging)))
        if (is_abandoned(staging + "/" + name)) TRY(discard(store, staging + "/" + name));
    std::string partial = store.root() + "/partial";
    auto now = std::chrono::system_clock::now();
    for (const std::string& name : TRY(list_directory(partial))) {
        std::string path = partial + "/" + name;
        struct stat info{};
        if (::stat(path.c_str(), &info) < 0) continue;
        auto age = now - std::chrono::system_clock::from_time_t(info.st_mtime);
        bool can_continue = !name.starts_with("new-") && age < options.partial_age;
        if (!can_continue && is_abandoned(path)) ::unlink(path.c_str());
    }
    std::string used = store.root() + "/used";
    for (const std::string& hex : TRY(list_directory(used))) {
        auto digest = spec::Digest::parse("sha256:" + hex);
        if (!digest || !store.blobs().has(*digest)) ::unlink((used + "/" + hex).c_str());
    }
    return {};
}

/// When an image was used last: touched by a container, else pulled.
std::chrono::system_clock::time_point last_use(const Store& store, const Image& image) {
    struct stat info{};
    std::string path = store.root() + "/used/" + image.manifest_digest.hex();
    if (::stat(path.c_str(), &info) != 0) return image.updated;
    auto used = std::chrono::system_clock::from_time_t(info.st_mtim.tv_sec) +
                std::chrono::microseconds(info.st_mtim.tv_nsec / 1000);
    return std::max<std::chrono::system_clock::time_point>(used, image.updated);
}

}  // namespace

Bytes allocated_bytes(const std::string& path) {
    return Bytes{usage_of(path)};
}

Bytes image_bytes(const Store& store) {
    return Bytes{usage_of(store.root() + "/blobs") + usage_of(store.root() + "/layers")};
}

Result<CollectReport> collect(const Store& store, const CollectOptions& options) {
    CollectReport report;
    {
        // Only renames and unlinks while others wait.
        LockFile lock = TRY(store.lock(LockFile::Kind::exclusive));
        Marks marks = TRY(mark_all(store, options.keep));
        TRY(sweep_blobs(store, marks, report));
        TRY(sweep_layers(store, marks, report));
        TRY(sweep_chains(store, marks));
        TRY(sweep_remains(store, options));
    }
    report.freed.value += usage_of(store.root() + "/trash");
    TRY(empty_trash(store));
    return report;
}

Result<std::vector<spec::Digest>> drop_unneeded_layers(const Store& store,
                                                       const std::vector<spec::Digest>& diff_ids) {
    std::vector<spec::Digest> needed;
    {
        LockFile lock = TRY(store.lock(LockFile::Kind::exclusive));
        Marks marks = TRY(mark_all(store, {}));
        for (const spec::Digest& diff_id : diff_ids) {
            if (marks.needs_unknown_layers || marks.digests.contains(diff_id))
                needed.push_back(diff_id);
            else
                TRY(discard(store, parent_path(store.layers().tree_path(diff_id))));
        }
    }
    TRY(empty_trash(store));
    return needed;
}

Result<std::set<std::vector<spec::Digest>>> needed_chains(const Store& store) {
    LockFile lock = TRY(store.lock(LockFile::Kind::exclusive));
    return TRY(mark_all(store, {})).chains;
}

Result<DiskUsage> disk_usage(const Store& store, const std::vector<spec::Digest>& keep) {
    DiskUsage usage;
    const std::string& root = store.root();
    usage.blobs.value = usage_of(root + "/blobs");
    usage.layers.value = usage_of(root + "/layers");
    usage.snapshots.value = usage_of(root + "/snapshots");
    usage.other.value =
        usage_of(root + "/partial") + usage_of(root + "/staging") + usage_of(root + "/trash");
    LockFile lock = TRY(store.lock(LockFile::Kind::exclusive));
    Marks named = TRY(mark_all(store, keep));
    Marks in_use = TRY(mark_in_use(store, keep));
    auto add = [&](const spec::Digest& digest, const std::string& path) {
        if (in_use.digests.contains(digest)) return;
        uint64_t size = usage_of(path);
        usage.unused.value += size;
        if (!named.digests.contains(digest)) usage.reclaimable.value += size;
    };
    for (const BlobInfo& blob : TRY(store.blobs().list()))
        add(blob.digest, store.blobs().path(blob.digest));
    for (const spec::Digest& diff_id : TRY(store.layers().list()))
        add(diff_id, parent_path(store.layers().tree_path(diff_id)));
    return usage;
}

Result<std::vector<std::string>> keep_budget(const Store& store, Bytes budget,
                                             const std::vector<spec::Digest>& in_use) {
    std::vector<std::string> dropped;
    if (image_bytes(store) <= budget) return dropped;
    TRY(collect(store, {.keep = in_use}));
    std::vector<Image> images = TRY(list_images(store));
    std::stable_sort(images.begin(), images.end(), [&](const Image& a, const Image& b) {
        return last_use(store, a) < last_use(store, b);
    });
    for (const Image& image : images) {
        if (image_bytes(store) <= budget) break;
        bool is_used = std::any_of(in_use.begin(), in_use.end(), [&](const spec::Digest& digest) {
            return digest == image.manifest_digest || digest == image.digest;
        });
        if (is_used) continue;
        std::vector<std::string> names = image.names;
        names.push_back(image.digest.to_string());
        for (const std::string& name : names)
            if (TRY(store.references().remove(name))) dropped.push_back(name);
        TRY(collect(store, {.keep = in_use}));
    }
    return dropped;
}

}  // namespace hull::store
