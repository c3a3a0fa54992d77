#pragma once

#include <vector>

#include "base/args.hpp"
#include "base/result.hpp"
#include "registry/transfer.hpp"

namespace hull::image {

/// --platform, --all, --jobs, --quiet: of every verb that moves images.
std::vector<OptionSpec> transfer_options();
Result<registry::TransferOptions> parse_transfer_options(const ParsedArgs& args);

}  // namespace hull::image
