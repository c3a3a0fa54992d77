#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/commands.hpp"

namespace hull::cli {

/// Reads a command line, without argv[0]. Only the options of the verb that is used are built.
/// @errors invalid: unknown verb or option (with the closest known one), missing or surplus words
Result<CommandLine> parse_command_line(const std::vector<std::string>& args);

}  // namespace hull::cli
