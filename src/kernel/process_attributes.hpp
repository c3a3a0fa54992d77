#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "kernel/procfs.hpp"

namespace hull::kernel {

/// "RLIMIT_NOFILE" or "nofile", any case -> resource of setrlimit(2). nullopt: unknown
std::optional<int> parse_rlimit(std::string_view name);
/// "RLIMIT_NOFILE"
std::string rlimit_name(int resource);
/// All names, for messages and features.
std::vector<std::string> rlimit_names();

struct ResourceLimit {
    int resource = 0;
    uint64_t soft = RLIM_INFINITY;
    uint64_t hard = RLIM_INFINITY;
};
/// Of the calling process. @errors denied: above the hard limit without CAP_SYS_RESOURCE, names
/// both numbers; invalid: soft above hard
Result<void> set_resource_limit(const ResourceLimit& limit);
/// @param pid  0: the calling process
Result<ResourceLimit> read_resource_limit(int resource, pid_t pid = 0);
/// "1024" or "unlimited"
std::string format_rlimit_value(uint64_t value);

/// -1000..1000. @errors denied: lower than now without CAP_SYS_RESOURCE
Result<void> set_oom_score_adj(const Procfs& proc, int score);

/// linux scheduler settings, sched(7) and sched_setattr(2).
struct Scheduler {
    uint32_t policy = 0;      ///< SCHED_OTHER … SCHED_DEADLINE
    uint64_t flags = 0;       ///< SCHED_FLAG_*
    int32_t nice = 0;         ///< OTHER, BATCH
    uint32_t priority = 0;    ///< FIFO, RR: 1..99
    uint64_t runtime_ns = 0;  ///< DEADLINE
    uint64_t deadline_ns = 0;
    uint64_t period_ns = 0;
};
/// "SCHED_FIFO" … nullopt: unknown
std::optional<uint32_t> parse_scheduler_policy(std::string_view name);
/// "SCHED_FLAG_RESET_ON_FORK" … nullopt: unknown
std::optional<uint64_t> parse_scheduler_flag(std::string_view name);
Result<void> set_scheduler(const Scheduler& scheduler);

/// "IOPRIO_CLASS_RT" … nullopt: unknown
std::optional<int> parse_io_priority_class(std::string_view name);
/// `level` 0 (highest) to 7. @see ioprio_set(2)
Result<void> set_io_priority(int io_class, int level);

/// A set of small numbers as "0-3,7": CPUs or memory nodes, cpuset(7), List format.
Result<std::vector<uint32_t>> parse_number_list(std::string_view text);
/// Of the calling process. @errors invalid: none of them exists here
Result<void> set_cpu_affinity(const std::vector<uint32_t>& cpus);

/// linux.memoryPolicy of the runtime-spec, set_mempolicy(2).
struct MemoryPolicy {
    int mode = 0;            ///< MPOL_*
    unsigned int flags = 0;  ///< MPOL_F_*
    std::vector<uint32_t> nodes;
};
std::optional<int> parse_memory_policy_mode(std::string_view name);  ///< "MPOL_BIND"
std::optional<unsigned int> parse_memory_policy_flag(
    std::string_view name);  ///< "MPOL_F_STATIC_NODES"
Result<void> set_memory_policy(const MemoryPolicy& policy);

/// "LINUX", "LINUX32" -> personality(2) domain. nullopt: unknown
std::optional<unsigned long> parse_personality(std::string_view name);
Result<void> set_personality(unsigned long persona);

/// User, groups of the calling process: setgroups, setresgid, setresuid in this order. With
/// `groups` nullopt the supplementary groups stay (a user namespace where setgroups is denied).
struct UserIds {
    uid_t uid = 0;
    gid_t gid = 0;
    std::optional<std::vector<gid_t>> groups;
};
Result<void> set_user_ids(const UserIds& ids);

}  // namespace hull::kernel
