#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "engine/settings.hpp"

// What a command line of `hull` says, as words: parse.cpp fills these in, options.cpp checks and
// translates, the cmd_* files act.

namespace hull::cli {

/// Options before the verb.
struct GlobalWords {
    engine::SettingsRequest settings;
    bool debug = false;
};

/// run and create
struct RunWords {
    bool detach = false;
    bool interactive = false;
    bool terminal = false;
    bool remove = false;
    bool read_only = false;
    bool privileged = false;
    bool allow_engine_socket = false;
    bool dry_run = false;
    bool quiet = false;
    bool no_signal_proxy = false;
    std::string name, working_dir, user, hostname, memory, memory_swap, cpus, cpuset_cpus, network;
    std::string runtime, stop_signal, pull = "missing", cid_file, detach_keys, shm_size, log_driver;
    std::optional<std::string> entrypoint;
    std::optional<int64_t> pids_limit;
    std::optional<int> stop_timeout;
    std::optional<uint64_t> cpu_shares;
    std::vector<std::string> env, env_files, volumes, mounts, tmpfs, labels, cap_add, cap_drop;
    std::vector<std::string> security, ulimits, sysctls, groups, log_options;
    std::string image;
    std::vector<std::string> command;
};

struct ExecWords {
    bool detach = false;
    bool interactive = false;
    bool terminal = false;
    bool privileged = false;
    std::string user, working_dir, detach_keys;
    std::vector<std::string> env, env_files;
    std::string container;
    std::vector<std::string> command;
};

/// start and attach
struct AttachWords {
    bool attach = false;
    bool interactive = false;
    bool no_stdin = false;
    std::string detach_keys;
    std::vector<std::string> containers;
};

/// ps, images, volume ls
struct ListWords {
    bool all = false;
    bool quiet = false;
    bool no_truncate = false;
    bool digests = false;
    std::string format;
    std::vector<std::string> filters;
    std::optional<int> last;
};

/// Verbs that act on each of some names.
struct NamesWords {
    bool force = false;
    bool volumes = false;
    std::optional<int> time;  ///< seconds
    std::string signal;
    std::string format;
    std::string type;
    std::vector<std::string> names;
};

struct LogsWords {
    bool follow = false;
    bool timestamps = false;
    std::string tail = "all";
    std::string since, until;
    std::string container;
};

/// info and version
struct FormatWords {
    std::string format;
};

struct ExportWords {
    std::string output = "-";
    std::string container;
};

/// A verb of hull-image, passed on as it is.
struct ImageToolWords {
    std::vector<std::string> args;
};

/// Text to print: --help, --version.
struct PrintWords {
    std::string text;
};

struct CommandLine {
    GlobalWords global;
    std::string verb;  ///< "run"; nested ones as "volume ls"
    std::variant<PrintWords, RunWords, ExecWords, AttachWords, ListWords, NamesWords, LogsWords,
                 FormatWords, ExportWords, ImageToolWords>
        words;
};

}  // namespace hull::cli
