#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "image/archives.hpp"
#include "image/command.hpp"
#include "image/location.hpp"
#include "registry/access.hpp"
#include "registry/endpoints.hpp"
#include "registry/policy.hpp"
#include "registry/transfer.hpp"

namespace hull::image {

/// One end of a copy: a location and what had to be opened before the process confined itself.
struct Place {
    Location location;
    spec::Reference reference;              ///< of registries, the store and docker
    Fd input;                               ///< of archives that are read
    std::unique_ptr<ArchiveOutput> output;  ///< of archives that are written
    std::optional<registry::Policy::Found> policy;
    std::string lookaside;  ///< base URL of signatures, when the policy wants them
};

/// How a verb that moves images from place to place works:
/// ```
/// Workshop shop{context, access_options};
/// TRY(shop.start());                            settings read
/// auto from = TRY(shop.prepare_source(text));   files opened, credentials found
/// auto to = TRY(shop.prepare_target(text));
/// TRY(shop.confine());                          from here on only what was prepared
/// auto source = TRY(shop.open_source(from));    strangers' bytes are read
/// ```
class Workshop {
  public:
    Workshop(Context& context, registry::AccessOptions options)
        : context_(context), options_(std::move(options)) {}

    /// @param policy_file  --policy; empty: the usual files
    Result<void> start(const std::string& policy_file, const std::string& registries_d);

    Result<Place> prepare_source(const std::string& text);
    Result<Place> prepare_target(const std::string& text);
    /// Another file or folder that may be read.
    void allow_reading(std::string path) { confinement_.read_paths.push_back(std::move(path)); }
    void allow_writing(std::string path) { confinement_.write_folders.push_back(std::move(path)); }
    /// The files of the container `id` are mounted by confine(). @return  number for container()
    size_t use_container(std::string id);
    /// Its open root folder; borrowed. After confine().
    int container(size_t number) const { return container_trees_[number].get(); }
    /// Registries other than those of prepared places will be asked.
    void use_registry();
    /// Layers will be unpacked though no prepared target says so: into folders of their own.
    void use_unpacking() { confinement_.unpacks = true; }
    /// Or the layers of the store themselves.
    void use_layers() { confinement_.unpacks = confinement_.marks_layers = true; }
    /// Opens the store and gives up all rights that what was prepared does not need.
    Result<void> confine();

    /// The policy is enforced here. @errors denied: it refuses
    Result<std::unique_ptr<registry::ImageSource>> open_source(Place& place,
                                                               const spec::Platform& platform);
    struct TargetOptions {
        bool explicit_platform = false;
        uint64_t chunk_size = 0;
        bool unpack = true;
    };
    Result<std::unique_ptr<registry::ImageTarget>> open_target(Place& place,
                                                               const TargetOptions& options);

    registry::Access& access() { return *access_; }
    const store::Store& store() const { return *store_; }
    const store::Lease& lease() const { return *lease_; }
    /// A folder that is gone when this command is.
    Result<std::string> temporary_folder();

  private:
    Result<void> prepare_registry(Place& place);
    Result<void> prepare_policy(Place& place);
    Result<void> enforce(const Place& place, registry::ImageSource& source);
    Result<std::unique_ptr<registry::ImageSource>> open_docker_source(const Place& place);

    Context& context_;
    registry::AccessOptions options_;
    registry::Policy policy_;
    std::string registries_d_;
    std::shared_ptr<registry::Access> access_;
    ConfineRequest confinement_{.unpacks = false, .marks_layers = false, .network = false};
    bool uses_registry_ = false;
    std::optional<store::Store> store_;
    std::optional<store::Lease> lease_;
    std::vector<std::unique_ptr<store::StagedLayer>> folders_;
    std::vector<std::string> containers_;
    std::vector<Fd> container_trees_;
};

/// Options of verbs that read images from anywhere: --policy, --registries.d.
std::vector<OptionSpec> with_policy_options(std::vector<OptionSpec> own);

/// The image `text` in the store, with its manifest or index as the reference has it.
/// @errors not_found
struct StoredImage {
    std::string name;  ///< full name
    spec::Descriptor target;
};
Result<StoredImage> find_stored(const store::Store& store, const std::string& text);

}  // namespace hull::image
