#pragma once

#include <chrono>
#include <optional>
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

/// A time as docker's log options take it: RFC 3339 and its beginnings, which are local time
/// without a zone ("2026-01-31", "2026-01-31T12:30"), or seconds since 1970 with a fraction.
/// @return  nullopt: none of these
std::optional<std::chrono::system_clock::time_point> parse_log_moment(const std::string& text);

}  // namespace hull::cli
