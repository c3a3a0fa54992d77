#pragma once

#include <spawn.h>
#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull {

/// A program to start with posix_spawn(3): safe from processes with threads.
struct SpawnRequest {
    std::string program;                   ///< a path, or a name looked up in PATH
    std::vector<std::string> args;         ///< without argv[0], which is `program`
    std::vector<std::string> environment;  ///< "NAME=value"; empty: this process's own
    /// Descriptors the program gets: {ours, its number}. All others stay close-on-exec. Without a
    /// pair for 0, 1 or 2 the program shares ours.
    std::vector<std::pair<int, int>> fds;
    bool new_session = false;  ///< setsid(2)
};

/// posix_spawn's two option objects, destroyed together.
struct SpawnOptions {
    posix_spawn_file_actions_t actions{};
    posix_spawnattr_t attributes{};
    SpawnOptions() {
        ::posix_spawn_file_actions_init(&actions);
        ::posix_spawnattr_init(&attributes);
    }
    ~SpawnOptions() {
        ::posix_spawn_file_actions_destroy(&actions);
        ::posix_spawnattr_destroy(&attributes);
    }
    SpawnOptions(const SpawnOptions&) = delete;
    SpawnOptions& operator=(const SpawnOptions&) = delete;
};

/// The form that execve(2) and posix_spawn(3) take: a null pointer ends it.
/// @return  pointers into `strings`, which must outlive them and stay unchanged
std::vector<char*> exec_pointers(const std::vector<std::string>& strings);

/// How a process ended.
struct ExitStatus {
    int code = 0;    ///< exit(3) code, when it was not killed
    int signal = 0;  ///< the signal that killed it, else 0
    bool success() const { return code == 0 && signal == 0; }
    /// As a shell says it: 128+n when killed.
    int shell_code() const { return signal != 0 ? 128 + signal : code; }
};

/// @return  the child's pid; the caller waits for it.
/// @errors not_found: no such program; denied: not executable
Result<pid_t> spawn(const SpawnRequest& request);
Result<ExitStatus> wait_for(pid_t pid);

/// Runs to the end with stdin from `input`; stdout and stderr are collected (64 MiB at most).
struct CommandOutput {
    ExitStatus status;
    std::string out;
    std::string err;
};
Result<CommandOutput> run_command(const SpawnRequest& request, std::string_view input = {});

/// Path of a sibling program ("hull-runtime"): beside /proc/self/exe, else in /usr/libexec/hull.
Result<std::string> find_sibling(const std::string& name);

}  // namespace hull
