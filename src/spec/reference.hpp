#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "spec/digest.hpp"

namespace hull::spec {

/// The name of an image, as docker's grammar has it: [HOST[:PORT]/]PATH[:TAG][@DIGEST].
/// @see github.com/distribution/reference; OCI distribution-spec, "Pulling manifests".
struct Reference {
    std::string domain;  ///< "docker.io", "127.0.0.1:5000", "[::1]:5000"
    std::string path;    ///< "library/debian"
    std::string tag;     ///< empty when only a digest was given
    std::optional<Digest> digest;

    /// "docker.io/library/debian": domain and path.
    std::string repository() const;
    /// The full form, equal for equal images: "docker.io/library/debian:12".
    std::string to_string() const;
    /// What people type: "debian:12".
    std::string familiar() const;
    /// What a registry's manifests endpoint is asked for: the digest, else the tag.
    std::string tag_or_digest() const;
    /// Whether the registry is this machine itself: localhost, 127.0.0.0/8 or [::1].
    bool is_loopback() const;

    bool operator==(const Reference&) const = default;
};

/// How names that leave something out are completed.
struct ReferenceDefaults {
    std::string domain = "docker.io";
    std::string tag = "latest";  ///< empty: no tag is added
};

/// Parses and completes: "debian" is docker.io/library/debian:latest. The first part of a name is a
/// registry when it has a dot or a colon, or is "localhost".
/// @errors invalid: which part breaks the grammar, and how ("repository name must be lowercase").
Result<Reference> parse_reference(std::string_view text, const ReferenceDefaults& defaults = {});

/// Whether a name says its registry, by that rule; of the others registries.conf decides.
bool names_registry(std::string_view text);

bool is_valid_tag(std::string_view tag);

}  // namespace hull::spec
