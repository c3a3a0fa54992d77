#pragma once

#include <linux/bpf.h>

#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "kernel/cgroup_resources.hpp"

// Which device nodes may be opened or made: v1's devices.allow and devices.deny, v2's BPF program.
// On both, rules apply in order, the last one that matches counts, and what none matches is
// refused.

namespace hull::kernel {

/// One write to a v1 directory: {"devices.allow", "c 1:3 rwm"}.
using DeviceWrite = std::pair<std::string, std::string>;

/// The writes that bring a v1 devices cgroup, whatever its state, to `rules`.
/// @errors unsupported: a rule takes one device out of a wider rule before it, which v1 cannot say
Result<std::vector<DeviceWrite>> plan_v1_devices(const std::vector<DeviceRule>& rules);
Result<void> apply_v1_devices(int directory, const std::vector<DeviceRule>& rules);

/// The program (BPF_PROG_TYPE_CGROUP_DEVICE) that answers 1 for what `rules` allow and else 0.
/// Each of read, write and mknod is decided by the last rule that names it.
/// @errors invalid: a type or access letter that does not exist, a number over 2^31-1
Result<std::vector<bpf_insn>> compile_device_program(const std::vector<DeviceRule>& rules);
/// Loads the program and attaches it to the v2 `directory` in the place of all that hull or another
/// runtime attached there before, without a moment in which none applies.
/// @errors denied: no CAP_BPF (or CAP_SYS_ADMIN) in the first user namespace
Result<void> apply_v2_devices(int directory, const std::vector<DeviceRule>& rules);

}  // namespace hull::kernel
