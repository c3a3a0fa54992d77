#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "registry/access.hpp"
#include "spec/digest.hpp"
#include "spec/reference.hpp"

namespace hull::registry {

/// Where the signatures of images lie: base URLs by docker scope; "" is the default.
/// @see containers-registries.d(5)
using LookasideMap = std::map<std::string, std::string>;

/// Parses one file of registries.d: the plain mappings that these files consist of.
/// @errors invalid: with file and line, for any other YAML
Result<LookasideMap> parse_registries_d(std::string_view text, std::string_view what);
/// All *.yaml of `folder`, else of ~/.config/containers/registries.d or
/// /etc/containers/registries.d.
Result<LookasideMap> load_registries_d(const std::string& folder);

/// The base URL for an image; root's default is file:///var/lib/containers/sigstore.
std::string lookaside_base(const LookasideMap& map, const spec::Reference& reference);

/// Fetches signature-1, signature-2, … of a manifest from a base URL (file, http or https).
Result<std::vector<std::string>> fetch_signatures(Access& access, const std::string& base,
                                                  const spec::Reference& reference,
                                                  const spec::Digest& manifest);

}  // namespace hull::registry
