#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/containers.hpp"

namespace hull::engine {

struct VolumeRecord {
    std::string name;
    std::string created_at;
    bool anonymous = false;
};

/// What exists, in one SQLite file in WAL mode. Each verb is one statement or one BEGIN IMMEDIATE
/// transaction; none is held across anything slow. Safe beside other hull processes.
class Database {
  public:
    /// Opens, and makes the tables if they are missing.
    /// @errors unsupported: written by a newer hull; corrupt: not a database
    static Result<Database> open(const std::string& path);
    Database(Database&&) noexcept;
    Database& operator=(Database&&) noexcept;
    ~Database();

    /// Where new ranges come from. `start_slot` is where the search begins.
    struct Pool {
        Range range;
        uint32_t start_slot = 0;
    };
    /// Adds a container. With a pool and `record.range.count` > 0, `record.range.first` is set to
    /// the first free place of that size.
    /// @errors exists: the name is taken; conflict: no range is free
    Result<void> insert(ContainerRecord& record, const std::optional<Pool>& pool);
    /// By whole id, name, or unique beginning of an id.
    /// @errors not_found; conflict: a beginning that fits several
    Result<ContainerRecord> find(const std::string& text);
    /// By whole id; nullopt: it is gone.
    Result<std::optional<ContainerRecord>> get(const std::string& id);
    /// All, newest first.
    Result<std::vector<ContainerRecord>> list();
    /// Ids of those that should run, or whose removal has begun.
    Result<std::vector<std::string>> list_unsettled();
    /// Intent, name and the facts of the last run.
    Result<void> update(const ContainerRecord& record);
    /// Deletes the row; no error if it is gone.
    Result<void> erase(const std::string& id);
    /// Containers made from the image with this configuration.
    Result<std::vector<std::string>> users_of_image(const std::string& image_id);
    /// Digests of the manifests that containers were made from.
    Result<std::vector<std::string>> images_in_use();

    /// Adds a volume; false: it was there.
    Result<bool> insert_volume(const VolumeRecord& volume);
    Result<std::optional<VolumeRecord>> get_volume(const std::string& name);
    Result<std::vector<VolumeRecord>> list_volumes();
    Result<void> erase_volume(const std::string& name);

  private:
    struct Handle;
    explicit Database(std::unique_ptr<Handle> handle);
    std::unique_ptr<Handle> handle_;
};

/// The first place for `count` ids in whole slots of 65,536, beginning the search at `start_slot`
/// and going round. @param used  in any order
std::optional<uint32_t> find_free_range(const Range& pool, std::vector<Range> used, uint32_t count,
                                        uint32_t start_slot);

}  // namespace hull::engine
