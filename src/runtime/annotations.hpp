#pragma once

#include <string_view>

#include "base/result.hpp"
#include "jail/plan.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// Carries out what annotations ask for, on a plan that is otherwise complete: `org.hull.landlock`,
/// and of crun's `run.oci.` (crun(1), Extensions to OCI) those about groups, mount labels, seccomp
/// and systemd's v1 hierarchy. Annotations about cgroups are create_cgroup's, those about hooks and
/// pidfds create's; others have no effect.
/// @errors invalid: a value that cannot be read; unsupported: a handler or plugin of crun's,
/// without
///         which the container would be something else than was asked for
Result<void> apply_annotations(const spec::RuntimeConfig& config, jail::Plan& plan);

/// crun's annotation by which a system call that nobody knows is an error, not left out.
inline constexpr std::string_view kFailUnknownCall = "run.oci.seccomp_fail_unknown_syscall";

/// True for an annotation of crun's that is switched on by its presence: "0" and "false" turn it
/// off.
bool is_annotation_on(const spec::RuntimeConfig& config, std::string_view name);

}  // namespace hull::runtime
