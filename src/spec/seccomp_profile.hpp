#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull {
class JsonReader;
}

namespace hull::spec {

/// linux.seccomp.syscalls[].args[]
struct SeccompProfileArgument {
    uint32_t index = 0;
    uint64_t value = 0;
    uint64_t value_two = 0;
    std::string op;  ///< "SCMP_CMP_EQ"
    bool operator==(const SeccompProfileArgument&) const = default;
};

/// linux.seccomp.syscalls[]
struct SeccompProfileRule {
    std::vector<std::string> names;
    std::string action;  ///< "SCMP_ACT_ALLOW"
    std::optional<uint32_t> errno_ret;
    std::vector<SeccompProfileArgument> args;
    bool operator==(const SeccompProfileRule&) const = default;
};

/// The linux.seccomp section of a config.json, its names checked against the specification's lists.
/// OCI runtime-spec config-linux.md, Seccomp.
struct SeccompProfile {
    std::string default_action;
    std::optional<uint32_t> default_errno_ret;
    std::vector<std::string> architectures;  ///< "SCMP_ARCH_X86_64"
    std::vector<std::string> flags;          ///< "SECCOMP_FILTER_FLAG_LOG"
    std::string listener_path;
    std::string listener_metadata;
    std::vector<SeccompProfileRule> syscalls;
    bool operator==(const SeccompProfile&) const = default;
};

/// Parses the section. Errors name the JSON path: "linux.seccomp.syscalls[3].action".
/// @errors invalid: unknown action, operator, architecture or flag; an errno for an action that has
///         none; an index over 5; a listener path that is not absolute; metadata without a path
Result<SeccompProfile> parse_seccomp_profile(const JsonReader& section);
/// As above, with all errors at once; what could not be read is left out.
SeccompProfile parse_seccomp_profile(const JsonReader& section, std::vector<Error>& errors);
/// As parse_seccomp_profile(), of a document of its own (`--security-opt seccomp=FILE`). `what`
/// names it in errors. Docker's extended form (archMap, includes, excludes) is refused with a hint.
Result<SeccompProfile> parse_seccomp_profile_text(std::string_view text, std::string_view what);
/// The section as compact JSON, fields in the specification's order.
std::string format_seccomp_profile(const SeccompProfile& profile);

/// The specification's names, for `features` and for "did you mean".
const std::vector<std::string>& seccomp_profile_actions();
const std::vector<std::string>& seccomp_profile_operators();
const std::vector<std::string>& seccomp_profile_architectures();
const std::vector<std::string>& seccomp_profile_flags();

}  // namespace hull::spec
