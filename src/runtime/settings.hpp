#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "base/result.hpp"

namespace hull::runtime {

enum class CgroupManager { cgroupfs, systemd, disabled };

/// The options before the command.
struct Settings {
    std::string root;  ///< --root; absolute
    bool is_root_given = false;
    std::string log_file;
    log::Format log_format = log::Format::text;
    log::Level log_level = log::Level::warning;
    CgroupManager cgroup_manager = CgroupManager::cgroupfs;
    std::optional<bool> rootless;  ///< --rootless; not set: find out

    /// What --rootless says, else whether the caller is not root of the machine.
    bool is_rootless() const;
};

/// /run/hull-runtime, or an ordinary user's $XDG_RUNTIME_DIR/hull-runtime, also as root of the
/// user's own user namespace.
std::string default_root();
/// True for all but root of the initial user namespace.
bool is_ordinary_user();

}  // namespace hull::runtime
