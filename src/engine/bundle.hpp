#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "engine/containers.hpp"
#include "engine/users.hpp"
#include "spec/runtime.hpp"

namespace hull::engine {

/// A rlimit as far as this caller may set it.
struct EffectiveRlimit {
    std::string type;  ///< "RLIMIT_NOFILE"
    uint64_t soft = 0;
    uint64_t hard = 0;
};

/// Everything that a container's config.json is made from; nothing is looked up any more.
struct BundleInputs {
    std::string id;
    ContainerConfig config;
    ResolvedUser user;
    std::vector<spec::IdMapping> uid_mappings;  ///< of the container's user namespace
    std::vector<spec::IdMapping> gid_mappings;
    std::string rootfs;               ///< where the monitor mounts it
    std::vector<spec::Mount> mounts;  ///< volumes, binds, /etc files: after the standard ones
    std::vector<EffectiveRlimit> rlimits;
    std::optional<spec::ConsoleSize> console_size;
    std::optional<spec::SeccompProfile> own_seccomp;  ///< of --security-opt seccomp=FILE
    bool has_cgroups = true;                          ///< limits can be applied here
    bool has_landlock_scopes = false;                 ///< the kernel has them (ABI 6)
    std::string apparmor_profile;                     ///< empty: none
};

/// The container's config.json, with the defaults of SECURITY.md. Pure.
/// @errors invalid: an unknown capability, no command
Result<spec::RuntimeConfig> make_bundle_config(const BundleInputs& inputs);

/// The process of `exec`: what the container's own process has, for another user and command.
struct ExecInputs {
    std::vector<std::string> args;
    std::vector<std::string> env;  ///< added to the container's
    std::string working_dir;       ///< empty: the container's
    ResolvedUser user;
    bool is_other_user = false;
    bool terminal = false;
    bool privileged = false;
    std::optional<spec::ConsoleSize> console_size;
};
Result<spec::Process> make_exec_process(const spec::Process& container, const ExecInputs& inputs);

/// The capabilities of a container's processes: the default ones, with --cap-drop and --cap-add.
/// @errors invalid: unknown name, with the closest known one
Result<std::vector<std::string>> effective_capabilities(const ContainerConfig& config);

/// The Landlock ABI that has scopes for signals and abstract sockets (6.12).
inline constexpr int kLandlockScopesAbi = 6;
/// Whether the container gets these scopes: not with sys_admin, which would be broken by them.
bool applies_landlock(const ContainerConfig& config);

/// Docker's rule for the arguments: --entrypoint replaces the image's entrypoint and command.
std::vector<std::string> process_args(const ContainerConfig& config);

/// Sets NAME in `env` to the value, replacing an older one.
void set_environment(std::vector<std::string>& env, const std::string& name_and_value);
bool has_environment(const std::vector<std::string>& env, std::string_view name);

/// What the container gives up of SECURITY.md's lines, one sentence each.
std::vector<std::string> weakening_warnings(const ContainerConfig& config);

}  // namespace hull::engine
