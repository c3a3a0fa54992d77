#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace hull::image {

/// What a verb still needs after it has opened its files and found its credentials.
struct ConfineRequest {
    std::vector<std::string> write_folders;  ///< the store, an output folder; made before
    std::vector<std::string> read_paths;     ///< files or folders beside the system's own
    std::string cache_folder;                ///< for the compiled seccomp filter; empty: none
    bool unpacks = true;                     ///< needs the capabilities of unpacking
    bool marks_layers = true;                ///< and unpacks into the store, or compares layers
    bool network = true;                     ///< talks to registries
    bool runs_programs = false;              ///< gpgv, for a policy with signatures
};

struct NamespaceOptions {
    bool needs_range = true;  ///< false: the user alone is enough, no /etc/subuid is needed
};
/// As an ordinary user: moves into a user namespace with the user's whole subuid range, so that
/// layers can have all their owners. As root: nothing. Before any thread, and before the store is
/// opened.
Result<void> enter_namespace(NamespaceOptions options = {});

/// Gives up what a program that parses strangers' bytes does not need: own mount (all read-only but
/// `write_folders`), IPC and UTS namespaces, no_new_privs, few capabilities, Landlock and a system
/// call allow-list. With one thread; all later threads inherit it. Not reversible.
/// @errors  those of each step, named; a kernel without Landlock is no error (the mounts hold)
Result<void> confine(const ConfineRequest& request);

}  // namespace hull::image
