#include <array>
#include <set>

#include "spec/runtime_rules.hpp"

namespace hull::spec {
namespace {

constexpr std::string_view kProcess = "config.md, Process";
constexpr std::string_view kLinuxProcess = "config.md, Linux Process";

std::string at(const std::string& list, size_t index) {
    return list + "[" + std::to_string(index) + "]";
}

}  // namespace

void RuntimeRules::capabilities(const Capabilities& sets) {
    auto subset = [&](std::string_view name, const std::vector<std::string>& set,
                      std::string_view of_name, const std::vector<std::string>& of) {
        for (size_t i = 0; i < set.size(); ++i)
            if (std::find(of.begin(), of.end(), set[i]) == of.end())
                add(at("process.capabilities." + std::string{name}, i), set[i],
                    "is not in the set " + std::string{of_name} + ", so the kernel refuses it",
                    "capabilities(7)", "add it there, or leave it out here");
    };
    subset("effective", sets.effective, "permitted", sets.permitted);
}

void RuntimeRules::scheduler(const Scheduler& scheduler) {
    const std::string path = "process.scheduler";
    one_of(path + ".policy", scheduler.policy,
           {"SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE",
            "SCHED_DEADLINE"},
           kLinuxProcess);
    for (size_t i = 0; i < scheduler.flags.size(); ++i)
        one_of(at(path + ".flags", i), scheduler.flags[i],
               {"SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_RECLAIM", "SCHED_FLAG_DL_OVERRUN",
                "SCHED_FLAG_KEEP_POLICY", "SCHED_FLAG_KEEP_PARAMS", "SCHED_FLAG_UTIL_CLAMP_MIN",
                "SCHED_FLAG_UTIL_CLAMP_MAX"},
               kLinuxProcess);
    if (scheduler.nice && (*scheduler.nice < -20 || *scheduler.nice > 19))
        add(path + ".nice", std::to_string(*scheduler.nice), "must be from -20 to 19",
            kLinuxProcess, "");
    bool is_real_time = scheduler.policy == "SCHED_FIFO" || scheduler.policy == "SCHED_RR";
    int priority = scheduler.priority.value_or(0);
    if (priority != 0 && !is_real_time)
        add(path + ".priority", std::to_string(priority),
            "only SCHED_FIFO and SCHED_RR have a priority", kLinuxProcess, "leave it out");
    if (is_real_time && (priority < 1 || priority > 99))
        add(path + ".priority", std::to_string(priority), "must be from 1 to 99", kLinuxProcess,
            "");
    bool has_deadline = scheduler.runtime.value_or(0) != 0 || scheduler.deadline.value_or(0) != 0 ||
                        scheduler.period.value_or(0) != 0;
    if (has_deadline && scheduler.policy != "SCHED_DEADLINE")
        add(path, scheduler.policy, "runtime, deadline and period are for SCHED_DEADLINE",
            kLinuxProcess, "leave them out");
    if (scheduler.policy == "SCHED_DEADLINE") {
        uint64_t runtime = scheduler.runtime.value_or(0);
        uint64_t deadline = scheduler.deadline.value_or(0);
        uint64_t period = scheduler.period.value_or(deadline);
        if (runtime < 1024 || runtime > deadline || (period != 0 && deadline > period))
            add(path,
                std::to_string(runtime) + ", " + std::to_string(deadline) + ", " +
                    std::to_string(period),
                "needs 1024 <= runtime <= deadline <= period, in nanoseconds", "sched(7)", "");
    }
}

void RuntimeRules::user(const User& user) {
    constexpr std::string_view kUser = "config.md, User";
    auto id = [&](const std::string& path, uint32_t value) {
        if (value == UINT32_MAX)
            add(path, std::to_string(value), "is no id: it means \"unchanged\"", kUser,
                "give one below 4294967295");
    };
    id("process.user.uid", user.uid);
    id("process.user.gid", user.gid);
    for (size_t i = 0; i < user.additional_gids.size(); ++i)
        id(at("process.user.additionalGids", i), user.additional_gids[i]);
    if (user.umask && *user.umask > 0777)
        add("process.user.umask", std::to_string(*user.umask), "must be at most 511 (octal 777)",
            kUser, "JSON numbers are decimal");
}

void RuntimeRules::process(const Process& process) {
    if (!process.cwd.starts_with('/'))
        add("process.cwd", process.cwd.empty() ? " " : process.cwd, "must be an absolute path",
            kProcess, "write \"/\"");
    if (process.args.empty())
        add("process.args", "", "must hold at least one word, the program", kProcess,
            "write [\"sh\"]");
    else if (process.args[0].empty())
        add("process.args[0]", " ", "must name a program", kProcess, "write [\"sh\"]");
    for (size_t i = 0; i < process.env.size(); ++i)
        if (process.env[i].find('=') == std::string::npos || process.env[i].starts_with('='))
            add(at("process.env", i), process.env[i].empty() ? " " : process.env[i],
                "must be of the form NAME=value", kProcess, "");
    std::set<std::string> types;
    for (size_t i = 0; i < process.rlimits.size(); ++i) {
        const Rlimit& limit = process.rlimits[i];
        std::string path = at("process.rlimits", i);
        one_of(path + ".type", limit.type,
               {"RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_CPU", "RLIMIT_DATA", "RLIMIT_FSIZE",
                "RLIMIT_LOCKS", "RLIMIT_MEMLOCK", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_NOFILE",
                "RLIMIT_NPROC", "RLIMIT_RSS", "RLIMIT_RTPRIO", "RLIMIT_RTTIME", "RLIMIT_SIGPENDING",
                "RLIMIT_STACK"},
               "config.md, POSIX process");
        if (!types.insert(limit.type).second)
            add(path + ".type", limit.type, "must not be given twice", "config.md, POSIX process",
                "keep one of them");
        if (limit.soft > limit.hard)
            add(path + ".soft", std::to_string(limit.soft),
                "must not be above hard, " + std::to_string(limit.hard), "setrlimit(2)",
                "raise hard or lower soft");
    }
    user(process.user);
    if (process.oom_score_adj && (*process.oom_score_adj < -1000 || *process.oom_score_adj > 1000))
        add("process.oomScoreAdj", std::to_string(*process.oom_score_adj),
            "must be from -1000 to 1000", kLinuxProcess, "");
    if (process.capabilities) capabilities(*process.capabilities);
    if (process.scheduler) scheduler(*process.scheduler);
    if (process.io_priority) {
        one_of("process.ioPriority.class", process.io_priority->io_class,
               {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"}, kLinuxProcess);
        int level = process.io_priority->priority.value_or(0);
        if (level < 0 || level > 7)
            add("process.ioPriority.priority", std::to_string(level), "must be from 0 to 7",
                kLinuxProcess, "");
    }
    if (process.exec_cpu_affinity) {
        const auto& affinity = *process.exec_cpu_affinity;
        number_list("process.execCPUAffinity.initial", affinity.initial, kLinuxProcess);
        number_list("process.execCPUAffinity.final", affinity.final, kLinuxProcess);
    }
    if (process.console_size &&
        (process.console_size->height > 65535 || process.console_size->width > 65535))
        add("process.consoleSize", "", "height and width must be at most 65535", kProcess, "");
}

}  // namespace hull::spec
