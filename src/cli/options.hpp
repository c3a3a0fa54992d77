#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "cli/commands.hpp"
#include "engine/engine.hpp"

namespace hull::cli {

/// The container that the words of `run` and `create` ask for.
/// @errors invalid: names the option and what it may be
Result<engine::CreateRequest> to_create_request(const RunWords& words);

/// "-e NAME=VALUE", "-e NAME" (passed on from our own environment), and files of such lines.
Result<std::vector<std::string>> to_environment(const std::vector<std::string>& entries,
                                                const std::vector<std::string>& files);

/// "ctrl-p,ctrl-q" as the bytes that a terminal sends. Empty text: the default.
/// @errors invalid
Result<std::string> parse_detach_keys(const std::string& text);

}  // namespace hull::cli
