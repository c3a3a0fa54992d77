#pragma once

#include <string>

namespace hull::runtime {

/// What this runtime can do on this machine: the document of the runtime-spec's features.md.
std::string format_features();

}  // namespace hull::runtime
