#pragma once

#include <string>
#include <string_view>

namespace hull::cli {

/// `hull --help`: every command with one line, by what people want to do.
std::string overview_help();
/// Help of one verb: what it does, how it is written, examples, then its options.
/// @param options  the option table
std::string verb_help(std::string_view verb, const std::string& options);

}  // namespace hull::cli
