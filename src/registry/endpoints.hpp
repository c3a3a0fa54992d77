#pragma once

#include <functional>
#include <memory>
#include <string>

#include "registry/access.hpp"
#include "registry/transfer.hpp"
#include "store/store.hpp"

namespace hull::registry {

/// An image in a registry, read from the first of its mirrors that has it, else the registry
/// itself.
/// @errors  of the last place tried
Result<std::unique_ptr<ImageSource>> open_registry_source(Access& access,
                                                          const spec::Reference& reference);

/// Uploads to a repository; blobs of another repository of the same registry are mounted.
Result<std::unique_ptr<ImageTarget>> open_registry_target(Access& access,
                                                          const spec::Reference& reference,
                                                          uint64_t chunk_size = 0);

/// An image of the store; its blobs are read as they are stored.
std::unique_ptr<ImageSource> open_store_source(const store::Store& store, std::string name,
                                               spec::Descriptor target);

struct StoreTargetOptions {
    /// Names to set, all at once, when everything is there.
    std::vector<std::string> names;
    bool unpack = true;
    bool explicit_platform = false;  ///< not the machine's own: the name stands for the manifest
    const std::atomic<bool>* cancelled = nullptr;
};
/// Verifies, stores and unpacks.
std::unique_ptr<ImageTarget> open_store_target(const store::Store& store, const store::Lease& lease,
                                               StoreTargetOptions options);

}  // namespace hull::registry
