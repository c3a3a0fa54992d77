#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "engine/settings.hpp"

namespace hull::engine {

/// How hull-image is run: it does what needs the network or parses what strangers made.
struct ImageToolRequest {
    std::vector<std::string> args;  ///< verb and its words
    std::string progress = "auto";  ///< auto, tty, plain, json, none
    bool hide_output = false;       ///< its stdout is not ours (a pull on the way to a run)
};

struct ImageToolResult {
    int exit_code = 0;
    Error error;  ///< set when exit_code is not 0; empty message: it said so itself
    std::vector<std::string> names;  ///< full names of the images that came in
};

/// Runs hull-image to its end with our stdin, stdout and stderr.
/// The names in what hull-image writes to --result-fd; defined in image_tool_json.cpp.
std::vector<std::string> parse_result_names(std::string_view json);
Result<ImageToolResult> run_image_tool(const Settings& settings, const ImageToolRequest& request);

}  // namespace hull::engine
