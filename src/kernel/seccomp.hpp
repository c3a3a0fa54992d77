#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

// System call filters, seccomp(2): described as a value, compiled to BPF once, cached by content.

namespace hull::kernel {

enum class SeccompAction { kill_thread, kill_process, trap, error, trace, log, allow, notify };

/// How an argument is compared with `value`; masked_equal: (argument & value) == value_two.
enum class SeccompOperator {
    not_equal,
    less,
    less_or_equal,
    equal,
    greater_or_equal,
    greater,
    masked_equal
};

struct SeccompArgument {
    uint32_t index = 0;  ///< 0-5
    SeccompOperator op = SeccompOperator::equal;
    uint64_t value = 0;
    uint64_t value_two = 0;
    bool operator==(const SeccompArgument&) const = default;
};

/// One action for some system calls. Names that no kernel known to libseccomp has are skipped, as
/// the other runtimes do: profiles list the calls of all architectures.
struct SeccompRule {
    std::vector<std::string> names;
    SeccompAction action = SeccompAction::allow;
    /// errno of `error`, message of `trace`; not set: EPERM
    std::optional<uint32_t> errno_value;
    /// All must hold. Two or more on one argument index are alternatives (each a rule of its own),
    /// as in the other runtimes.
    std::vector<SeccompArgument> arguments;
    bool operator==(const SeccompRule&) const = default;
};

struct SeccompFilter {
    SeccompAction default_action = SeccompAction::error;
    std::optional<uint32_t> default_errno;  ///< not set: EPERM
    /// libseccomp's names: "x86_64", "x86", "x32", "aarch64", "arm" …; empty: the native one. What
    /// comes through any other architecture is killed.
    std::vector<std::string> architectures;
    bool log = false;                  ///< SECCOMP_FILTER_FLAG_LOG
    bool allow_speculation = false;    ///< SECCOMP_FILTER_FLAG_SPEC_ALLOW
    bool synchronize_threads = false;  ///< SECCOMP_FILTER_FLAG_TSYNC
    bool wait_killable = false;        ///< SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (kernel 5.19)
    std::vector<SeccompRule> rules;

    /// True when a rule or the default asks a listener.
    bool uses_notify() const;
    bool operator==(const SeccompFilter&) const = default;
};

/// Ready for the kernel.
struct SeccompProgram {
    std::vector<sock_filter> instructions;
    uint32_t flags = 0;  ///< SECCOMP_FILTER_FLAG_*; with NEW_LISTENER when a listener is asked
};

/// How far a program is worked on.
enum class SeccompEffort {
    plain,    ///< as libseccomp writes it
    shortest  ///< ranges merged (seccomp_optimize.hpp): the kernel loads it eight times faster
};

/// Compiles without loading. Calls newer than any that the filter names get ENOSYS instead of a
/// refusing default action, so that programs fall back to older calls.
/// @errors invalid: an unknown architecture, a bad argument index, two actions for the same call
Result<SeccompProgram> compile_seccomp(const SeccompFilter& filter,
                                       SeccompEffort effort = SeccompEffort::shortest);

/// A program that somebody else compiled: its sock_filter instructions, byte for byte.
/// @errors invalid: not whole instructions, none, or more than the kernel takes
Result<SeccompProgram> seccomp_program_from_bytes(std::string_view bytes);
/// Whether a kernel that libseccomp knows has a system call of this name, on any architecture.
bool is_known_system_call(const std::string& name);

/// As compile_seccomp(), with a cache (seccomp_cache.hpp) in `cache_directory`.
Result<SeccompProgram> load_or_compile_seccomp(const SeccompFilter& filter,
                                               const std::string& cache_directory);

/// Installs a filter on this thread for good; needs no_new_privs or CAP_SYS_ADMIN. Runs in: child.
/// Allocates nothing, so that it may run as the last act before exec.
/// @return  the listener's descriptor when the filter notifies
/// @errors denied: neither no_new_privs nor CAP_SYS_ADMIN; conflict: a listener is there already
Result<std::optional<Fd>> install_seccomp(const SeccompProgram& program);

/// Names as libseccomp and the profiles write them: "SCMP_ACT_ERRNO", "SCMP_CMP_EQ",
/// "SCMP_ARCH_X86_64" <-> "x86_64", "SECCOMP_FILTER_FLAG_LOG".
std::optional<SeccompAction> parse_seccomp_action(std::string_view name);
std::string_view seccomp_action_name(SeccompAction action);
std::optional<SeccompOperator> parse_seccomp_operator(std::string_view name);
std::string_view seccomp_operator_name(SeccompOperator op);
std::optional<std::string> parse_seccomp_architecture(std::string_view name);
std::string seccomp_architecture_name(std::string_view architecture);
/// All that this build knows, for `features`.
std::vector<std::string> known_seccomp_actions();
std::vector<std::string> known_seccomp_operators();
std::vector<std::string> known_seccomp_architectures();

}  // namespace hull::kernel
