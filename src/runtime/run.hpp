#pragma once

#include "base/result.hpp"
#include "runtime/create.hpp"
#include "runtime/settings.hpp"

namespace hull::runtime {

/// `create`
Result<void> create_only(const Settings& settings, CreateRequest request);

/// `run`
struct RunRequest {
    CreateRequest create;
    bool detach = false;
    bool keep = false;  ///< do not delete the container after its end
    bool no_subreaper = false;
};
/// Creates, starts and, unless detached, stays with the container until its end and deletes it.
/// @return  the program's exit code, 128+n when signal n ended it; 0 when detached
Result<int> run_container(const Settings& settings, RunRequest request);

}  // namespace hull::runtime
