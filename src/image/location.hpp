#pragma once

#include <string>

#include "base/result.hpp"

namespace hull::image {

/// Where an image is, as skopeo writes it.
struct Location {
    enum class Transport {
        registry,        ///< docker://HOST/NAME[:TAG|@DIGEST]
        store,           ///< store:NAME (also containers-storage:NAME), or a bare name: hull's own
        oci,             ///< oci:FOLDER[:TAG]
        oci_archive,     ///< oci-archive:FILE[:TAG]
        docker_archive,  ///< docker-archive:FILE[:NAME]
        folder,          ///< dir:FOLDER
        docker_daemon,   ///< docker-daemon:NAME
    };
    Transport transport = Transport::store;
    std::string path;  ///< absolute, of those that have one
    std::string name;  ///< image name, tag or reference; may be empty

    /// "oci:/a/b:tag".
    std::string to_string() const;
};

/// @errors invalid: an unknown transport (with the known ones), a path that is missing
Result<Location> parse_location(const std::string& text);

}  // namespace hull::image
