#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull {

/// One option of a command of the static binaries (`hull` itself uses CLI11).
struct OptionSpec {
    std::string_view name;        ///< "bundle", given as --bundle
    char short_name = 0;          ///< 'b', given as -b; 0 for none
    std::string_view value_name;  ///< "DIR"; empty: a switch without a value
    std::string_view help;        ///< empty: another letter of the one before, told nowhere
};

/// What a command line held, by option name.
class ParsedArgs {
  public:
    bool has(std::string_view name) const;
    /// The last value given, or `fallback`.
    std::string get(std::string_view name, std::string_view fallback = {}) const;
    std::optional<std::string> find(std::string_view name) const;
    std::vector<std::string> all(std::string_view name) const;

    std::vector<std::string> positionals;
    std::vector<std::pair<std::string, std::string>> values;
};

struct ParseRules {
    /// Stop at the first word that is no option: global options before a command, or a command
    /// line of the user's (`exec ID ls -l`) after `max_before_rest` words.
    std::optional<size_t> stop_after_positionals;
};

/// Parses as runc (urfave/cli) and crun do: -x, -x VALUE, -xVALUE, --long, --long=VALUE, --long
/// VALUE, -long; `--switch=false` unsets a switch, also in the other words of strconv.ParseBool
/// ("0", "F") and of crun ("no"); "--" ends the options.
/// @errors invalid: unknown option (with the closest known one), missing or unwanted value.
Result<ParsedArgs> parse_args(std::span<const std::string> args,
                              std::span<const OptionSpec> options, ParseRules rules = {});

/// The options in one line, as --usage prints them: "[-dh] [--bundle DIR] [--detach] [--help]".
std::string format_usage(std::span<const OptionSpec> options);
/// The option table as --help prints it.
std::string format_options(std::span<const OptionSpec> options);

}  // namespace hull
