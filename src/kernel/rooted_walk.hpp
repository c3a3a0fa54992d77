#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

// The parts of rooted_path that work component by component. Callers use RootedPath.

namespace hull::kernel {

/// Arguments of openat2(2).
struct OpenHow {
    int flags = 0;  ///< O_CLOEXEC is added
    mode_t mode = 0;
    uint64_t resolve = 0;  ///< RESOLVE_*
};
/// openat2(2), tried again when a rename raced with it.
Result<Fd> open_beneath(int directory, const std::string& path, const OpenHow& request);
/// For one component of a directory: nothing is followed. A link itself opens with
/// O_PATH | O_NOFOLLOW.
constexpr OpenHow beneath_how(int flags) {
    return {.flags = flags,
            .mode = 0,
            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
}

/// `name` "": `directory` is an O_PATH descriptor of the link itself.
Result<std::string> read_link_at(int directory, const std::string& name);

struct WalkOptions {
    mode_t mode = 0755;
    bool follow_links = true;  ///< inside the root
    uint64_t resolve = 0;      ///< more RESOLVE_* for each step
};
/// mkdir -p below `root`, one component at a time. ".." leads to the directory that was walked
/// through before, never above `root`; a link's target is walked in its place, made where missing.
/// @return  O_PATH descriptor of the last directory
Result<Fd> walk_and_make(int root, std::string_view path, const WalkOptions& options);

}  // namespace hull::kernel
