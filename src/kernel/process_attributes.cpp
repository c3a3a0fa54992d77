#include "kernel/process_attributes.hpp"

#include <grp.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>

#include "base/text.hpp"
#include "kernel/uapi.hpp"

namespace hull::kernel {

namespace {

struct Named {
    std::string_view name;
    uint64_t value;
};

template <size_t N>
std::optional<uint64_t> look_up(const std::array<Named, N>& table, std::string_view name) {
    for (const Named& entry : table)
        if (entry.name == name) return entry.value;
    return std::nullopt;
}

constexpr std::array kRlimits = {
    Named{"RLIMIT_CPU", RLIMIT_CPU},           Named{"RLIMIT_FSIZE", RLIMIT_FSIZE},
    Named{"RLIMIT_DATA", RLIMIT_DATA},         Named{"RLIMIT_STACK", RLIMIT_STACK},
    Named{"RLIMIT_CORE", RLIMIT_CORE},         Named{"RLIMIT_RSS", RLIMIT_RSS},
    Named{"RLIMIT_NPROC", RLIMIT_NPROC},       Named{"RLIMIT_NOFILE", RLIMIT_NOFILE},
    Named{"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},   Named{"RLIMIT_AS", RLIMIT_AS},
    Named{"RLIMIT_LOCKS", RLIMIT_LOCKS},       Named{"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
    Named{"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE}, Named{"RLIMIT_NICE", RLIMIT_NICE},
    Named{"RLIMIT_RTPRIO", RLIMIT_RTPRIO},     Named{"RLIMIT_RTTIME", RLIMIT_RTTIME}};

constexpr std::array kPolicies = {Named{"SCHED_OTHER", SCHED_OTHER},
                                  Named{"SCHED_FIFO", SCHED_FIFO},
                                  Named{"SCHED_RR", SCHED_RR},
                                  Named{"SCHED_BATCH", SCHED_BATCH},
                                  Named{"SCHED_ISO", 4},
                                  Named{"SCHED_IDLE", SCHED_IDLE},
                                  Named{"SCHED_DEADLINE", 6}};

constexpr std::array kSchedulerFlags = {
    Named{"SCHED_FLAG_RESET_ON_FORK", 0x01}, Named{"SCHED_FLAG_RECLAIM", 0x02},
    Named{"SCHED_FLAG_DL_OVERRUN", 0x04},    Named{"SCHED_FLAG_KEEP_POLICY", 0x08},
    Named{"SCHED_FLAG_KEEP_PARAMS", 0x10},   Named{"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
    Named{"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};

constexpr std::array kIoClasses = {Named{"IOPRIO_CLASS_NONE", 0}, Named{"IOPRIO_CLASS_RT", 1},
                                   Named{"IOPRIO_CLASS_BE", 2}, Named{"IOPRIO_CLASS_IDLE", 3}};

constexpr std::array kMemoryModes = {Named{"MPOL_DEFAULT", 0},
                                     Named{"MPOL_PREFERRED", 1},
                                     Named{"MPOL_BIND", 2},
                                     Named{"MPOL_INTERLEAVE", 3},
                                     Named{"MPOL_LOCAL", 4},
                                     Named{"MPOL_PREFERRED_MANY", 5},
                                     Named{"MPOL_WEIGHTED_INTERLEAVE", 6}};

constexpr std::array kMemoryFlags = {Named{"MPOL_F_NUMA_BALANCING", 1U << 13U},
                                     Named{"MPOL_F_RELATIVE_NODES", 1U << 14U},
                                     Named{"MPOL_F_STATIC_NODES", 1U << 15U}};

}  // namespace

std::optional<int> parse_rlimit(std::string_view name) {
    std::string upper;
    for (char c : name)
        upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (!upper.starts_with("RLIMIT_")) upper.insert(0, "RLIMIT_");
    auto value = look_up(kRlimits, upper);
    if (!value) return std::nullopt;
    return static_cast<int>(*value);
}

std::string rlimit_name(int resource) {
    for (const Named& entry : kRlimits)
        if (entry.value == static_cast<uint64_t>(resource)) return std::string(entry.name);
    return "RLIMIT_" + std::to_string(resource);
}

std::vector<std::string> rlimit_names() {
    std::vector<std::string> names;
    for (const Named& entry : kRlimits)
        names.emplace_back(entry.name);
    return names;
}

std::string format_rlimit_value(uint64_t value) {
    return value == RLIM_INFINITY ? "unlimited" : std::to_string(value);
}

Result<ResourceLimit> read_resource_limit(int resource, pid_t pid) {
    rlimit value{};
    if (::prlimit(pid, static_cast<__rlimit_resource>(resource), nullptr, &value) < 0)
        return fail_errno(errno, "read " + rlimit_name(resource));
    return ResourceLimit{resource, value.rlim_cur, value.rlim_max};
}

Result<void> set_resource_limit(const ResourceLimit& limit) {
    std::string what = "set " + rlimit_name(limit.resource) + " to " +
                       format_rlimit_value(limit.soft) + ":" + format_rlimit_value(limit.hard);
    if (limit.soft > limit.hard)
        return fail(Errc::invalid, what + ": the soft limit is above the hard limit");
    rlimit value{};
    value.rlim_cur = limit.soft;
    value.rlim_max = limit.hard;
    if (::setrlimit(static_cast<__rlimit_resource>(limit.resource), &value) == 0) return {};
    int cause = errno;
    std::string hint;
    auto present = read_resource_limit(limit.resource);
    if (cause == EPERM && present)
        hint = "the hard limit is " + format_rlimit_value(present->hard) +
               " here, and raising it needs CAP_SYS_RESOURCE";
    return fail_errno(cause, what, hint);
}

Result<void> set_oom_score_adj(const Procfs& proc, int score) {
    auto written = proc.write("self/oom_score_adj", std::to_string(score));
    if (written) return {};
    Error error = std::move(written).error();
    if (error.code == Errc::denied)
        error.hint = "a value lower than the present one needs CAP_SYS_RESOURCE";
    return fail(std::move(error).with_context("set oomScoreAdj " + std::to_string(score)));
}

std::optional<uint32_t> parse_scheduler_policy(std::string_view name) {
    auto value = look_up(kPolicies, name);
    if (!value) return std::nullopt;
    return static_cast<uint32_t>(*value);
}

std::optional<uint64_t> parse_scheduler_flag(std::string_view name) {
    return look_up(kSchedulerFlags, name);
}

Result<void> set_scheduler(const Scheduler& scheduler) {
    SchedAttr attr{};
    attr.size = sizeof attr;
    attr.sched_policy = scheduler.policy;
    attr.sched_flags = scheduler.flags;
    attr.sched_nice = scheduler.nice;
    attr.sched_priority = scheduler.priority;
    attr.sched_runtime = scheduler.runtime_ns;
    attr.sched_deadline = scheduler.deadline_ns;
    attr.sched_period = scheduler.period_ns;
    if (::syscall(SYS_sched_setattr, 0, &attr, 0) == 0) return {};
    int cause = errno;
    std::string hint;
    if (cause == EPERM)
        hint =
            "real-time and deadline policies need CAP_SYS_NICE, and a cgroup v1 that has real "
            "time: "
            "set linux.resources.cpu.realtimeRuntime";
    if (cause == EBUSY) hint = "the machine has no room for this deadline";
    return fail_errno(cause, "set the scheduler", hint);
}

std::optional<int> parse_io_priority_class(std::string_view name) {
    auto value = look_up(kIoClasses, name);
    if (!value) return std::nullopt;
    return static_cast<int>(*value);
}

Result<void> set_io_priority(int io_class, int level) {
    if (::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io_class << 13 | level) == 0) return {};
    int cause = errno;
    return fail_errno(
        cause, "set the I/O priority",
        cause == EPERM ? "the real-time class needs CAP_SYS_ADMIN or CAP_SYS_NICE" : "");
}

Result<std::vector<uint32_t>> parse_number_list(std::string_view text) {
    constexpr uint32_t kMax = 65535;
    std::vector<uint32_t> numbers;
    for (std::string_view word : split(trim(text), ',')) {
        word = trim(word);
        size_t dash = word.find('-');
        auto first = parse_number<uint32_t>(word.substr(0, dash));
        auto last =
            dash == std::string_view::npos ? first : parse_number<uint32_t>(word.substr(dash + 1));
        if (!first || !last || *last < *first || *last > kMax)
            return fail(Errc::invalid, "list " + quote(text) + " is not of the form 0-3,7");
        for (uint32_t number = *first; number <= *last; ++number)
            numbers.push_back(number);
    }
    return numbers;
}

namespace {
std::vector<unsigned long> to_mask(const std::vector<uint32_t>& numbers) {
    constexpr size_t kBits = 8 * sizeof(unsigned long);
    std::vector<unsigned long> words(1);
    for (uint32_t number : numbers) {
        if (number / kBits >= words.size()) words.resize(number / kBits + 1);
        words[number / kBits] |= 1UL << number % kBits;
    }
    return words;
}
}  // namespace

Result<void> set_cpu_affinity(const std::vector<uint32_t>& cpus) {
    auto mask = to_mask(cpus);
    if (::syscall(SYS_sched_setaffinity, 0, mask.size() * sizeof mask[0], mask.data()) == 0)
        return {};
    int cause = errno;
    return fail_errno(cause, "set the CPU affinity",
                      cause == EINVAL ? "none of these CPUs is there and allowed" : "");
}

std::optional<int> parse_memory_policy_mode(std::string_view name) {
    auto value = look_up(kMemoryModes, name);
    if (!value) return std::nullopt;
    return static_cast<int>(*value);
}

std::optional<unsigned int> parse_memory_policy_flag(std::string_view name) {
    auto value = look_up(kMemoryFlags, name);
    if (!value) return std::nullopt;
    return static_cast<unsigned int>(*value);
}

Result<void> set_memory_policy(const MemoryPolicy& policy) {
    auto mask = to_mask(policy.nodes);
    bool has_nodes = !policy.nodes.empty();
    // set_mempolicy(2): maxnode counts one bit more than the mask has.
    unsigned long bits = has_nodes ? mask.size() * 8 * sizeof mask[0] + 1 : 0;
    auto mode = static_cast<unsigned int>(policy.mode) | policy.flags;
    if (::syscall(SYS_set_mempolicy, mode, has_nodes ? mask.data() : nullptr, bits) == 0) return {};
    int cause = errno;
    std::string hint;
    if (cause == EINVAL)
        hint = "the nodes must exist and be allowed, and fit the mode and its flags";
    if (cause == ENOSYS) hint = "this kernel has no NUMA support";
    return fail_errno(cause, "set the memory policy", hint);
}

std::optional<unsigned long> parse_personality(std::string_view name) {
    if (name == "LINUX") return PER_LINUX;
    if (name == "LINUX32") return PER_LINUX32;
    return std::nullopt;
}

Result<void> set_personality(unsigned long persona) {
    if (::personality(persona) < 0) return fail_errno(errno, "set the personality");
    return {};
}

Result<void> set_user_ids(const UserIds& ids) {
    if (ids.groups && ::setgroups(ids.groups->size(), ids.groups->data()) < 0) {
        int cause = errno;
        return fail_errno(
            cause, "set the supplementary groups",
            cause == EPERM ? "this user namespace denies setgroups, or lacks the group" : "");
    }
    auto hint = [](int cause, const char* kind) {
        return cause == EINVAL ? std::string("this ") + kind +
                                     " has no id in the container's user namespace: map it"
                               : std::string();
    };
    if (::setresgid(ids.gid, ids.gid, ids.gid) < 0) {
        int cause = errno;
        return fail_errno(cause, "become group " + std::to_string(ids.gid), hint(cause, "group"));
    }
    if (::setresuid(ids.uid, ids.uid, ids.uid) < 0) {
        int cause = errno;
        return fail_errno(cause, "become user " + std::to_string(ids.uid), hint(cause, "user"));
    }
    return {};
}

}  // namespace hull::kernel
