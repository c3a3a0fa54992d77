#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.hpp"

namespace hull::engine {

/// Where one instance of hull keeps what exists (`root`) and what is true now (`run_root`).
struct Settings {
    std::string root;      ///< hull.db, images, containers/ID, volumes/NAME
    std::string run_root;  ///< ID/ of each container, runtime/ of hull-runtime
    uid_t uid = 0;
    gid_t gid = 0;
    bool is_rootless = false;

    std::string database_path() const;
    std::string container_directory(const std::string& id) const;
    std::string log_path(const std::string& id) const;
    std::string run_directory(const std::string& id) const;
    std::string runtime_root() const;
    std::string volumes_directory() const;
    std::string volume_path(const std::string& name) const;
};

/// Options of every hull command; empty: the default.
struct SettingsRequest {
    std::string root;      ///< --root
    std::string run_root;  ///< --runroot
};

/// Applies the defaults: /var/lib/hull and /run/hull; an ordinary user's $XDG_DATA_HOME/hull (or
/// ~/.local/share/hull) and $XDG_RUNTIME_DIR/hull (or /tmp/hull-UID).
/// @errors invalid: neither HOME nor a --root is known
Result<Settings> resolve_settings(const SettingsRequest& request);

/// Makes both roots. The folder of the default in /tmp must be ours and closed to others: anyone
/// may have made it.
/// @errors denied
Result<void> prepare_roots(const Settings& settings);

}  // namespace hull::engine
