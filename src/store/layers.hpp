#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "spec/digest.hpp"

namespace hull::store {

/// What is recorded beside an unpacked tree.
struct LayerRecord {
    spec::Digest diff_id;
    uint64_t entries = 0;  ///< archive members
    uint64_t bytes = 0;    ///< content of regular files
    uint64_t tar_bytes = 0;
    uint32_t highest_id = 0;  ///< highest uid or gid of any member
    /// What a walk over the whole tree must count: names that are no folders, and the sizes of
    /// regular files by name. Not set: not known.
    struct Count {
        uint64_t names = 0;
        uint64_t file_bytes = 0;
        bool operator==(const Count&) const = default;
    };
    std::optional<Count> count;
    /// Folders that the archive only implies by what lies in them (relative, any bytes): their
    /// metadata comes from the layers below.
    std::vector<std::string> implied_directories;
    bool userxattr = false;  ///< opaque folders are marked by user.overlay.* (rootless)
    /// Known to be on disk for good. Else the tree is trusted while the machine stays up, and after
    /// a restart when it has all names and sizes: a file whose bytes got lost with the power has
    /// lost its size as well (ext4, xfs and btrfs set it after the bytes).
    bool durable = false;
    std::string boot_id;
};

/// A folder that a layer is unpacked into before it has its name. Locked while this process lives;
/// removed when dropped without publish().
class StagedLayer {
  public:
    StagedLayer(StagedLayer&& other) noexcept;
    StagedLayer& operator=(StagedLayer&&) = delete;
    ~StagedLayer();
    /// The empty tree to fill; borrowed.
    int tree() const { return tree_.get(); }
    const std::string& path() const { return path_; }

  private:
    friend class Layers;
    StagedLayer(std::string path, Fd directory, Fd tree)
        : path_(std::move(path)), directory_(std::move(directory)), tree_(std::move(tree)) {}
    std::string path_;  ///< empty once published
    Fd directory_;      ///< flocked
    Fd tree_;
};

/// Unpacked layers by diff id: layers/sha256/HEX/tree, the overlay's lower folders.
class Layers {
  public:
    explicit Layers(std::string root) : root_(std::move(root)) {}

    /// Whether the tree is there and can be trusted (see LayerRecord::durable). The first look
    /// after a restart of the machine walks it.
    bool has(const spec::Digest& diff_id) const;
    /// layers/sha256/HEX/tree.
    std::string tree_path(const spec::Digest& diff_id) const;
    Result<LayerRecord> record(const spec::Digest& diff_id) const;
    Result<std::vector<spec::Digest>> list() const;

    Result<StagedLayer> create_staging() const;
    /// Gives a filled tree its name: one rename. If another process was first, its tree stays and
    /// this one is removed. The caller has verified digest and diff id.
    Result<void> publish(StagedLayer staged, const LayerRecord& record) const;

    /// Makes sure that folders which layers of this chain only imply show the metadata of the
    /// highest layer below that has them: a small extra layer keyed by the chain, made when needed.
    /// Call after all layers of an image are there, in the namespace that unpacks.
    /// @param diff_ids  lowest first.
    Result<void> complete_chain(const std::vector<spec::Digest>& diff_ids) const;
    /// The steps of complete_chain(), for comparing what is there with what it would make.
    Result<bool> needs_chain(const std::vector<spec::Digest>& diff_ids) const;
    Result<StagedLayer> stage_chain(const std::vector<spec::Digest>& diff_ids) const;
    Result<void> publish_chain(StagedLayer staged, const std::vector<spec::Digest>& diff_ids) const;
    /// The folder that holds the extra layer (tree, list, and the mark `empty` when there is
    /// nothing to show), or would hold it.
    std::string chain_directory(const std::vector<spec::Digest>& diff_ids) const;
    /// Names in layers/chains whose list is not the one they were named after.
    Result<std::vector<std::string>> damaged_chains() const;
    /// No error if it is not there.
    Result<void> remove_chain(const std::string& name) const;
    /// The overlay's lower folders for a chain, top first.
    /// @errors not_found: a layer is not unpacked here; the hint says to pull again.
    Result<std::vector<std::string>> lower_directories(
        const std::vector<spec::Digest>& diff_ids) const;
    /// No error if it is not there. The tree is renamed away first: gone at once for others.
    Result<void> remove(const spec::Digest& diff_id) const;

  private:
    std::string directory(const spec::Digest& diff_id) const;
    std::string root_;
};

}  // namespace hull::store
