#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "registry/transfer.hpp"

namespace hull::image {

enum class ProgressMode { automatic, tty, plain, json, none };

/// "auto", "tty", "plain", "json", "none".
Result<ProgressMode> parse_progress_mode(const std::string& text);

/// What shows a transfer on `fd` (borrowed): bars with rates on a terminal, one line for each
/// finished item else, or one JSON object per line.
std::unique_ptr<registry::Progress> create_progress(ProgressMode mode, int fd);

}  // namespace hull::image
