#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/settings.hpp"

namespace hull::runtime {

/// `exec`
struct ExecRequest {
    std::string id;
    std::vector<std::string> args;
    std::string process_file;  ///< --process: a whole process object instead of the options below
    std::string cwd;
    std::vector<std::string> env;
    std::string user;  ///< "UID[:GID]"
    std::vector<std::string> additional_gids;
    std::vector<std::string> capabilities;
    std::string apparmor;
    std::string process_label;
    std::optional<bool> no_new_privileges;
    bool tty = false;
    bool detach = false;
    bool ignore_paused = false;
    std::vector<std::string> cgroups;  ///< "[CONTROLLER,…:]PATH"
    std::string console_socket;
    std::string pid_file;
    std::string pidfd_socket;
    int preserve_fds = 0;
    int listen_fds = 0;
};

/// Runs one more process in a running container.
/// @return  its exit code, 128+n when signal n ended it; 0 when detached
/// @errors not_found; conflict: stopped or paused; what the process's setup says
Result<int> exec_in_container(const Settings& settings, const ExecRequest& request);

}  // namespace hull::runtime
