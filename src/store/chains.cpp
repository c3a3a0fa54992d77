// The extra layer of a chain that carries the metadata of folders which its layers only imply.
//
// A layer that holds usr/bin/tool but no member for usr/ unpacks to a usr/ of root's with mode
// 0755, and overlayfs shows the metadata of the highest folder. Layers are unpacked apart from each
// other, so the fault is mended per chain: one small tree on top that holds only such folders, with
// the metadata of the highest layer below that has a member for them.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "base/file.hpp"
#include "base/text.hpp"
#include "store/layer_record.hpp"
#include "store/layers.hpp"
#include "store/metadata.hpp"
#include "store/trash.hpp"

namespace hull::store {
namespace {

struct ChainLayer {
    std::string tree;
    std::set<std::string> implied;
};

/// FNV-1a: a name for a folder, not a proof; the list inside is what is compared.
std::string chain_name(const std::string& list) {
    uint64_t value = 0xcbf29ce484222325ULL;
    for (char c : list) {
        value ^= static_cast<unsigned char>(c);
        value *= 0x100000001b3ULL;
    }
    std::string raw;
    for (int shift = 56; shift >= 0; shift -= 8)
        raw.push_back(static_cast<char>(value >> static_cast<unsigned>(shift)));
    return to_hex(raw);
}

std::string chain_list(const std::vector<spec::Digest>& diff_ids) {
    std::string list;
    for (const spec::Digest& diff_id : diff_ids)
        list += diff_id.to_string() + "\n";
    return list;
}

std::string below(const std::string& tree, const std::string& path) {
    return path.empty() ? tree : tree + "/" + path;
}

/// The highest layer under `top` whose own member made the folder `path`; empty if a layer between
/// hides it, or none has it.
std::string find_explicit(const std::vector<ChainLayer>& layers, size_t top,
                          const std::string& path) {
    for (size_t i = top; i-- > 0;) {
        struct stat info{};
        std::string candidate = below(layers[i].tree, path);
        if (::lstat(candidate.c_str(), &info) < 0) {
            // A whiteout or another file in the place of one of its parents hides what is lower.
            for (std::string parent = path; !parent.empty();) {
                size_t slash = parent.rfind('/');
                parent = slash == std::string::npos ? "" : parent.substr(0, slash);
                struct stat above{};
                if (::lstat(below(layers[i].tree, parent).c_str(), &above) < 0) continue;
                if (!S_ISDIR(above.st_mode) || is_opaque(below(layers[i].tree, parent))) return {};
                break;
            }
            continue;
        }
        if (!S_ISDIR(info.st_mode)) return {};
        if (!layers[i].implied.contains(path)) return candidate;
        if (is_opaque(candidate)) return {};
    }
    return {};
}

/// The folder whose metadata the chain shall show for `path`.
std::string find_source(const std::vector<ChainLayer>& layers, const std::string& path) {
    for (size_t i = layers.size(); i-- > 0;) {
        struct stat info{};
        std::string source = below(layers[i].tree, path);
        if (::lstat(source.c_str(), &info) < 0) continue;
        std::string lower = layers[i].implied.contains(path) ? find_explicit(layers, i, path) : "";
        return lower.empty() ? source : lower;
    }
    return {};
}

/// Makes the folders `wrong` in `tree` with all folders above them.
Result<void> make_folders(const std::string& tree, const std::set<std::string>& wrong,
                          const std::vector<ChainLayer>& layers) {
    std::set<std::string> all{""};
    for (const std::string& path : wrong)
        for (size_t slash = 0; slash != std::string::npos;) {
            slash = path.find('/', slash + 1);
            all.insert(path.substr(0, slash));
        }
    for (const std::string& path : all)  // parents sort before what lies in them
        if (::mkdir(below(tree, path).c_str(), 0755) < 0 && errno != EEXIST)
            return fail_errno(errno, "create " + below(tree, path));
    for (auto path = all.rbegin(); path != all.rend(); ++path)  // making one changes its parent
        TRY(copy_metadata(find_source(layers, *path), below(tree, *path)));
    return {};
}

/// Folders whose highest layer only implies them while a lower one has them with other metadata.
Result<std::set<std::string>> find_wrong(const std::vector<ChainLayer>& layers) {
    std::set<std::string> wrong;
    std::set<std::string> seen;
    for (size_t i = layers.size(); i-- > 1;) {
        for (const std::string& path : layers[i].implied) {
            if (!seen.insert(path).second) continue;
            bool is_highest = true;
            for (size_t above = i + 1; above < layers.size() && is_highest; ++above) {
                struct stat info{};
                is_highest = ::lstat(below(layers[above].tree, path).c_str(), &info) < 0;
            }
            std::string lower = is_highest ? find_explicit(layers, i, path) : "";
            if (lower.empty()) continue;
            if (!TRY(has_equal_metadata(below(layers[i].tree, path), lower))) wrong.insert(path);
        }
    }
    return wrong;
}

}  // namespace

std::string Layers::chain_directory(const std::vector<spec::Digest>& diff_ids) const {
    std::string list = chain_list(diff_ids);
    std::string base = root_ + "/layers/chains/" + chain_name(list);
    for (int attempt = 0;; ++attempt) {
        std::string path = attempt == 0 ? base : base + "-" + std::to_string(attempt);
        auto found = read_file(path + "/list");
        if (!found || *found == list) return path;  // ours, or free
    }
}

Result<bool> Layers::needs_chain(const std::vector<spec::Digest>& diff_ids) const {
    for (size_t i = 1; i < diff_ids.size(); ++i)
        if (!TRY(record(diff_ids[i])).implied_directories.empty()) return true;
    return false;
}

Result<StagedLayer> Layers::stage_chain(const std::vector<spec::Digest>& diff_ids) const {
    std::vector<ChainLayer> layers;
    for (const spec::Digest& diff_id : diff_ids) {
        LayerRecord record = TRY(this->record(diff_id));
        layers.push_back({tree_path(diff_id),
                          {record.implied_directories.begin(), record.implied_directories.end()}});
    }
    std::set<std::string> wrong = TRY(find_wrong(layers));
    StagedLayer staged = TRY(create_staging());
    if (!wrong.empty()) TRY(make_folders(staged.path() + "/tree", wrong, layers));
    if (wrong.empty()) TRY(write_file_atomically(staged.path() + "/empty", ""));
    TRY(write_file_atomically(staged.path() + "/list", chain_list(diff_ids), {.durable = true}));
    return staged;
}

Result<void> Layers::publish_chain(StagedLayer staged,
                                   const std::vector<spec::Digest>& diff_ids) const {
    std::string target = chain_directory(diff_ids);
    if (::renameat2(AT_FDCWD, staged.path().c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) ==
        0) {
        staged.path_.clear();
        return {};
    }
    if (errno == EEXIST) return {};  // another process was first
    return fail_errno(errno, "rename " + staged.path() + " to " + target);
}

Result<void> Layers::complete_chain(const std::vector<spec::Digest>& diff_ids) const {
    if (!TRY(needs_chain(diff_ids)) || path_exists(chain_directory(diff_ids))) return {};
    return publish_chain(TRY(stage_chain(diff_ids)), diff_ids);
}

Result<void> Layers::remove_chain(const std::string& name) const {
    std::string trashed = TRY(move_to_trash(root_, root_ + "/layers/chains/" + name));
    if (!trashed.empty()) TRY(delete_trashed(trashed));
    return {};
}

Result<std::vector<std::string>> Layers::damaged_chains() const {
    std::vector<std::string> damaged;
    std::string folder = root_ + "/layers/chains/";
    for (const std::string& name : TRY(list_directory(folder))) {
        auto list = read_file(folder + name + "/list");
        if (!list && !path_exists(folder + name)) continue;  // collected meanwhile
        if (!list || chain_name(*list) != name.substr(0, name.find('-'))) damaged.push_back(name);
    }
    return damaged;
}

Result<std::vector<std::string>> Layers::lower_directories(
    const std::vector<spec::Digest>& diff_ids) const {
    std::vector<std::string> lower;
    bool needs_chain = false;
    for (const spec::Digest& diff_id : diff_ids) {
        if (!has(diff_id))
            return fail(Errc::not_found, "layer " + diff_id.to_string() + " is not unpacked here",
                        "pull or load the image again");
        if (!lower.empty() && path_exists(directory(diff_id) + "/implied")) needs_chain = true;
        lower.push_back(tree_path(diff_id));
    }
    if (needs_chain) {
        std::string chain = chain_directory(diff_ids);
        if (!path_exists(chain))
            return fail(Errc::not_found, "the layers of this image are not joined yet",
                        "pull or load the image again");
        if (!path_exists(chain + "/empty")) lower.push_back(chain + "/tree");
    }
    return std::vector<std::string>{lower.rbegin(), lower.rend()};
}

}  // namespace hull::store
