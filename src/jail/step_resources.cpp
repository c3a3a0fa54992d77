#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/step.hpp"

// What the kernel gives the process: limits, scheduling, settings of its namespaces.

namespace hull::jail {

Result<void> set_oom_score(LaunchSetup& setup) {
    if (!setup.plan->process.oom_score_adjustment) return {};
    // By the parent: lowering needs CAP_SYS_RESOURCE outside of any container's user namespace.
    const auto path = "/proc/" + std::to_string(setup.child) + "/oom_score_adj";
    const Fd file = TRY(open_path(path, O_WRONLY));
    const auto score = std::to_string(*setup.plan->process.oom_score_adjustment);
    auto written = write_all(file.get(), score);
    if (written) return written;
    return fail_errno(written.error().sys_errno, "process.oomScoreAdj: set it to " + score,
                      written.error().sys_errno == EACCES
                          ? "lowering it needs CAP_SYS_RESOURCE: leave it out, or give a higher one"
                          : "");
}

Result<void> write_sysctls(LaunchSetup& setup) {
    if (setup.plan->sysctl.empty()) return {};
    // Through the mount that we made and no path (CVE-2019-16884 and its kin).
    for (const auto& mount : setup.kernel_mounts)
        if (mount.target == "/proc" && !mount.is_read_only && !setup.program.procfs)
            setup.program.procfs = TRY(kernel::Procfs::adopt(TRY(mount.fd.duplicate())));
    const auto* proc = TRY(setup.program.proc());
    for (const auto& [name, value] : setup.plan->sysctl)
        TRY(with_context(proc->write_sysctl(name, value), "linux.sysctl"));
    return {};
}

Result<void> set_memory_policy(LaunchSetup& setup) {
    if (!setup.plan->memory_policy) return {};
    return with_context(kernel::set_memory_policy(*setup.plan->memory_policy),
                        "linux.memoryPolicy");
}

Result<void> set_limits(ProgramSetup& setup) {
    for (const auto& limit : setup.process->rlimits) {
        auto set = kernel::set_resource_limit(limit);
        if (set) continue;
        if (set.error().sys_errno != EPERM) return with_context(std::move(set), "process.rlimits");
        // As far as this process may: its hard limit stays where it is.
        const auto present = TRY(kernel::read_resource_limit(limit.resource));
        const uint64_t hard = std::min(limit.hard, present.hard);
        TRY(with_context(
            kernel::set_resource_limit(
                {.resource = limit.resource, .soft = std::min(limit.soft, hard), .hard = hard}),
            "process.rlimits"));
        log::warning(kernel::rlimit_name(limit.resource) + " stays at " +
                     kernel::format_rlimit_value(hard) + ": raising it to " +
                     kernel::format_rlimit_value(limit.hard) + " needs CAP_SYS_RESOURCE");
    }
    return {};
}

Result<void> set_scheduling(ProgramSetup& setup) {
    const auto& process = *setup.process;
    if (process.scheduler)
        TRY(with_context(kernel::set_scheduler(*process.scheduler), "process.scheduler"));
    if (process.io_priority)
        TRY(with_context(
            kernel::set_io_priority(process.io_priority->io_class, process.io_priority->level),
            "process.ioPriority"));
    if (setup.personality)
        TRY(with_context(kernel::set_personality(*setup.personality), "linux.personality"));
    return {};
}

Result<void> set_final_affinity(ProgramSetup& setup) {
    if (setup.process->final_cpus.empty()) return {};
    return with_context(kernel::set_cpu_affinity(setup.process->final_cpus),
                        "process.execCPUAffinity.final");
}

}  // namespace hull::jail
