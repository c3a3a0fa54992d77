#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/args.hpp"
#include "base/result.hpp"
#include "runtime/settings.hpp"

namespace hull::runtime {

/// One command of hull-runtime.
struct Command {
    std::string_view name;
    std::string_view arguments;  ///< "ID [SIGNAL]"
    std::string_view summary;    ///< one line
    std::string_view help;       ///< what --help teaches below the options
    std::span<const OptionSpec> options;
    size_t least_words = 0;
    size_t most_words = 0;
    /// Options after this many words belong to the last word: `exec ID ls -l`.
    std::optional<size_t> stop_after;
    Result<int> (*run)(const Settings& settings, const ParsedArgs& args) = nullptr;
    int failure_code = 1;  ///< exit code when hull-runtime itself fails
};

/// Commands that make, run and end containers.
std::span<const Command> life_commands();
/// Commands that look at or change what runs.
std::span<const Command> control_commands();
/// Commands that need no container.
std::span<const Command> report_commands();

/// The whole program: parses, runs one command, reports its error.
/// @param args  without the program's name
/// @return  the exit code
int run_command_line(std::span<const std::string> args);

/// The number of an option that counts descriptors.
Result<int> parse_count(const ParsedArgs& args, std::string_view option);

}  // namespace hull::runtime
