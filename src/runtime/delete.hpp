#pragma once

#include "base/result.hpp"
#include "runtime/container.hpp"
#include "runtime/settings.hpp"

namespace hull::runtime {

struct DestroyOptions {
    bool run_poststop_hooks = true;
    bool is_process_gone = false;      ///< it has been waited for
    kernel::Cgroup* cgroup = nullptr;  ///< the container's, when it is open already
};
/// Ends what is left of the container's processes and removes its cgroup and its folder; then the
/// poststop hooks run. Goes on after a failure and reports the first. The caller holds the lock.
Result<void> destroy_container(Container& container, DestroyOptions options = {});

/// `delete`: idempotent with --force. @errors not_found: no such container (without force);
/// conflict: it runs (without force)
struct DeleteRequest {
    std::string id;
    bool force = false;
};
Result<void> delete_container(const Settings& settings, const DeleteRequest& request);

}  // namespace hull::runtime
