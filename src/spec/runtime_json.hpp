#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "spec/runtime.hpp"
#include "spec/runtime_check.hpp"

namespace hull::spec {

/// Reads a config.json. Types and ranges are checked and named by JSON path
/// ("linux.resources.memory.limit: must be a whole number, is string"); rules between fields are
/// check_runtime_config()'s. Unknown members are ignored, as config.md, Extensibility, demands.
/// @param what  names the document in errors of its syntax.
/// @errors invalid
Result<RuntimeConfig> parse_runtime_config(std::string_view text, std::string_view what);
/// As above, telling every error in `errors` instead of the first; what could be read is returned.
RuntimeConfig parse_runtime_config(std::string_view text, std::string_view what,
                                   std::vector<Error>& errors);
/// As parse_runtime_config(), but linux.seccomp stays unread and empty in what is returned.
/// @param seccomp  the part of `text` that is its value, from find_seccomp_text()
/// @errors invalid: also when that part is the value of another member. Line and column are not
///                  those of `text`.
Result<RuntimeConfig> parse_runtime_config_without(std::string_view text, std::string_view what,
                                                   std::string_view seccomp);
/// Members that no part of the specification has, each with the nearest name that one has. An empty
/// list for what is no JSON.
std::vector<Violation> find_unknown_properties(std::string_view text);
/// The text of a config.json. @errors not_found: with advice on bundles
Result<std::string> read_runtime_config(const std::string& path);
/// As parse_runtime_config(), of the file. @errors not_found: with advice on bundles
Result<RuntimeConfig> load_runtime_config(const std::string& path);
/// `exec --process FILE`: a document that is the process object alone.
Result<Process> parse_process(std::string_view text, std::string_view what);
/// `update --resources FILE`: a document that is linux.resources alone.
Result<Resources> parse_resources(std::string_view text, std::string_view what);

/// As JSON, in the order of the specification; what is not set is left out. Compact when `indent`
/// is negative.
std::string format_runtime_config(const RuntimeConfig& config, int indent = -1);
std::string format_process(const Process& process);

}  // namespace hull::spec
