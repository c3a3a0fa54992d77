#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "jail/plan.hpp"
#include "runtime/settings.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

enum class ReadSeccomp {
    always,        ///< for who shows or checks the section
    if_not_cached  ///< for who only needs its filter
};

/// A config.json. Where its linux.seccomp is the text of a filter that was compiled before, the
/// section stays unread: `config` is without it, `filter` is what it was compiled to.
struct ConfigDocument {
    std::string text;
    spec::RuntimeConfig config;
    std::optional<kernel::SeccompProgram> filter;
};

/// @param text  of the whole document; `what` names it in errors
/// @errors invalid: names the JSON path
Result<ConfigDocument> read_config(const Settings& settings, std::string text,
                                   std::string_view what, ReadSeccomp read_seccomp);

/// The filter to install in the container of `plan`, which was made from `document`: the one that
/// an annotation brings, the cached, or one compiled now, which is kept for the next.
/// @errors invalid: the section is no filter
Result<std::optional<kernel::SeccompProgram>> seccomp_program(const Settings& settings,
                                                              const ConfigDocument& document,
                                                              const jail::Plan& plan);

}  // namespace hull::runtime
