#pragma once

#include <cstdint>

#include "spec/runtime.hpp"

namespace hull::spec {

struct DefaultsRequest {
    bool rootless = false;  ///< for an ordinary user: a user namespace of that user, no limits
    uint32_t host_uid = 0;  ///< whose ids are mapped to 0, when rootless
    uint32_t host_gid = 0;
};

/// What `hull-runtime spec` writes: a shell in `rootfs`, confined by default: few capabilities,
/// no_new_privs, an allow-list seccomp filter, nosuid and nodev mounts, read-only kernel files,
/// every namespace private.
RuntimeConfig default_runtime_config(const DefaultsRequest& request = {});

/// The capabilities, masked and read-only paths of default_runtime_config().
std::vector<std::string> default_capabilities();
std::vector<std::string> default_masked_paths();
std::vector<std::string> default_readonly_paths();
/// The allow-list filter: about 330 names; ENOSYS for clone3 and for what is newer, EPERM for the
/// refused.
SeccompProfile default_seccomp_profile();

}  // namespace hull::spec
