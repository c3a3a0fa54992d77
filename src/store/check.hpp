#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "spec/digest.hpp"
#include "store/store.hpp"

namespace hull::store {

/// One thing that is wrong in the store.
struct Damage {
    enum class Kind {
        missing_blob,   ///< an image needs it
        corrupt_blob,   ///< its bytes do not have its digest
        missing_layer,  ///< an image needs the tree
        corrupt_layer,  ///< the tree is not what its blob unpacks to
        bad_document,   ///< a manifest, index or configuration that cannot be read
        bad_record,     ///< of names, a layer or a container
        bad_chain,      ///< the folder that joins an image's layers (store/chains)
    };
    Kind kind;
    spec::Digest digest;  ///< blob digest or diff id
    std::string image;    ///< a name that needs it; empty if none
    std::string chain;    ///< bad_chain: its name in layers/chains
    std::string detail;
};
std::string_view damage_name(Damage::Kind kind);

/// Reads everything: each blob's bytes against its digest, each image's blobs and layers for being
/// there, each record. Trees are compared with their blobs by layer/verify.
Result<std::vector<Damage>> check_store(const Store& store, spec::CreateHasher create_hasher);

/// What of the image `entry` is not here; reads only its documents.
std::vector<Damage> check_image(const Store& store, const ReferenceEntry& entry);

/// Makes the damaged copies of the records of names and containers sound again.
Result<void> mend_records(const Store& store);

}  // namespace hull::store
