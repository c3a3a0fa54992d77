#include <algorithm>

#include <doctest/doctest.h>

#include "spec/runtime_check.hpp"
#include "spec/runtime_defaults.hpp"

using namespace hull::spec;

namespace {

/// The defaults, which are good, after `spoil`.
template <typename Spoil>
std::vector<Violation> after(Spoil spoil) {
    RuntimeConfig config = default_runtime_config();
    spoil(config);
    return check_runtime_config(config);
}

void check_only(const std::vector<Violation>& found, std::string_view path) {
    REQUIRE(found.size() == 1);
    CHECK(found[0].path == path);
    CHECK_FALSE(found[0].rule.empty());
    CHECK_FALSE(found[0].section.empty());
}

}  // namespace

TEST_CASE("the defaults break no rule, for root and for others") {
    CHECK(check_runtime_config(default_runtime_config()).empty());
    CHECK(check_runtime_config(
              default_runtime_config({.rootless = true, .host_uid = 1000, .host_gid = 100}))
              .empty());
}

TEST_CASE("the version must be a semantic one of the first major") {
    check_only(after([](RuntimeConfig& c) { c.oci_version = "1.0"; }), "ociVersion");
    check_only(after([](RuntimeConfig& c) { c.oci_version = "2.0.0"; }), "ociVersion");
    CHECK(after([](RuntimeConfig& c) { c.oci_version = "1.0.2-dev"; }).empty());
}

TEST_CASE("paths must be absolute where the specification says so") {
    check_only(after([](RuntimeConfig& c) { c.process->cwd = "tmp"; }), "process.cwd");
    check_only(after([](RuntimeConfig& c) { c.linux_.masked_paths = {"proc"}; }),
               "linux.maskedPaths[0]");
    check_only(after([](RuntimeConfig& c) { c.linux_.namespaces[0].path = "x"; }),
               "linux.namespaces[0].path");
    check_only(after([](RuntimeConfig& c) { c.hooks.poststop = {{.path = "x"}}; }),
               "hooks.poststop[0].path");
}

TEST_CASE("what would change the host is refused") {
    check_only(after([](RuntimeConfig& c) { c.linux_.sysctl = {{"vm.swappiness", "1"}}; }),
               "linux.sysctl.vm.swappiness");
    check_only(after([](RuntimeConfig& c) {
                   std::erase_if(c.linux_.namespaces,
                                 [](const auto& n) { return n.type == "network"; });
               }),
               "linux.sysctl.net.ipv4.ping_group_range");
    check_only(after([](RuntimeConfig& c) {
                   std::erase_if(c.linux_.namespaces,
                                 [](const auto& n) { return n.type == "uts"; });
               }),
               "hostname");
    check_only(after([](RuntimeConfig& c) { c.linux_.sysctl = {{"kernel/hostname", "x"}}; }),
               "linux.sysctl.kernel/hostname");
    CHECK(after([](RuntimeConfig& c) {
              c.linux_.sysctl = {{"net/ipv4/conf/eth0.1/forwarding", "1"}, {"kernel.shmmax", "1"}};
          }).empty());
}

TEST_CASE("id maps may not overlap, be empty or reach too far") {
    check_only(after([](RuntimeConfig& c) { c.linux_.uid_mappings[0].size = 0; }),
               "linux.uidMappings[0].size");
    check_only(
        after([](RuntimeConfig& c) { c.linux_.uid_mappings.push_back({70000, 1073807361, 5}); }),
        "linux.uidMappings[1].hostID");
    check_only(after([](RuntimeConfig& c) { c.linux_.gid_mappings[0].size = 4294967295; }),
               "linux.gidMappings[0]");
    check_only(after([](RuntimeConfig& c) { c.linux_.gid_mappings.clear(); }), "linux.gidMappings");
}

TEST_CASE("limits must fit together") {
    check_only(after([](RuntimeConfig& c) {
                   c.linux_.resources.memory = MemoryResources{.limit = 100, .swap = 50};
               }),
               "linux.resources.memory.swap");
    check_only(after([](RuntimeConfig& c) {
                   c.linux_.resources.cpu = CpuResources{.quota = 5000, .burst = 6000};
               }),
               "linux.resources.cpu.burst");
    check_only(after([](RuntimeConfig& c) { c.linux_.resources.hugepage_limits = {{"2 MB", 1}}; }),
               "linux.resources.hugepageLimits[0].pageSize");
    check_only(after([](RuntimeConfig& c) { c.linux_.resources.unified = {{"../x", "1"}}; }),
               "linux.resources.unified.../x");
    CHECK(after([](RuntimeConfig& c) {
              c.linux_.resources.memory = MemoryResources{.limit = -1, .swap = -1};
          }).empty());
}

TEST_CASE("scheduling values must belong to their policy") {
    auto with = [](Scheduler scheduler) {
        return after([&](RuntimeConfig& c) { c.process->scheduler = std::move(scheduler); });
    };
    check_only(with({.policy = "SCHED_FIFO"}), "process.scheduler.priority");
    check_only(with({.policy = "SCHED_OTHER", .priority = 5}), "process.scheduler.priority");
    check_only(with({.policy = "SCHED_DEADLINE", .runtime = 5000, .deadline = 3000}),
               "process.scheduler");
    check_only(with({.policy = "SCHED_FIFOO", .nice = 3}), "process.scheduler.policy");
    CHECK(with({.policy = "SCHED_DEADLINE", .runtime = 2000, .deadline = 3000}).empty());
}

TEST_CASE("a violation is one line with path, value, rule, section and remedy") {
    auto found = after([](RuntimeConfig& c) { c.linux_.namespaces[0].type = "pidd"; });
    REQUIRE(found.size() == 1);
    CHECK(found[0].to_string().starts_with(
        "linux.namespaces[0].type: \"pidd\": must be one of pid, "));
    CHECK(found[0].to_string().ends_with("[config-linux.md, Namespaces] (did you mean pid?)"));
    auto refused = refuse_violations({found[0], found[0], found[0]});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().to_string().find("2 more") != std::string::npos);
}

TEST_CASE("the default filter names every call once and lets no family but four be a socket") {
    SeccompProfile profile = default_seccomp_profile();
    auto names = profile.syscalls.at(0).names;
    CHECK(names.size() > 300);
    CHECK(std::is_sorted(names.begin(), names.end()));
    CHECK(std::adjacent_find(names.begin(), names.end()) == names.end());
    for (const char* refused : {"mount",
                                "setns",
                                "unshare",
                                "bpf",
                                "keyctl",
                                "add_key",
                                "io_uring_setup",
                                "userfaultfd",
                                "open_by_handle_at",
                                "perf_event_open",
                                "kexec_load",
                                "init_module",
                                "reboot",
                                "swapon",
                                "clock_settime",
                                "socket",
                                "socketcall",
                                "clone",
                                "ioctl",
                                "personality"})
        CHECK_FALSE(std::binary_search(names.begin(), names.end(), refused));
    auto rules_for = [&](std::string_view name) {
        return std::count_if(profile.syscalls.begin(), profile.syscalls.end(),
                             [&](const auto& rule) { return rule.names[0] == name; });
    };
    CHECK(rules_for("socket") == 4);
    CHECK(rules_for("ioctl") == 32);
    // Exactly one number passes none of the 32 rules: TIOCSTI.
    auto passes = [&](uint64_t number) {
        return std::any_of(profile.syscalls.begin(), profile.syscalls.end(), [&](const auto& rule) {
            return rule.names[0] == "ioctl" &&
                   (number & rule.args[0].value) == rule.args[0].value_two;
        });
    };
    CHECK_FALSE(passes(0x5412));
    CHECK_FALSE(passes(0xffffffff00005412));
    CHECK(passes(0x5401));
    CHECK(passes(0x5413));
    CHECK(passes(0x80045430));
}

TEST_CASE("resource control groups: names and schemata have a form") {
    const auto with = [](IntelRdt rdt) {
        return after([&](RuntimeConfig& c) { c.linux_.intel_rdt = std::move(rdt); });
    };
    CHECK(with({.clos_id = "gold",
                .schemata = {"L2:0=f", "L3:0=ff"},
                .l3_cache_schema = "L3CODE:0=f\nL3DATA:0=f",
                .mem_bw_schema = "MB:0=20;1=70",
                .enable_monitoring = true})
              .empty());
    CHECK(with({.clos_id = "/"}).empty());
    check_only(with({.clos_id = "a/b"}), "linux.intelRdt.closID");
    check_only(with({.clos_id = ".."}), "linux.intelRdt.closID");
    check_only(with({.l3_cache_schema = "0=ff"}), "linux.intelRdt.l3CacheSchema");
    check_only(with({.mem_bw_schema = "L3:0=ff"}), "linux.intelRdt.memBwSchema");
    check_only(with({.mem_bw_schema = "MB:0=2\nMB:1=3"}), "linux.intelRdt.memBwSchema");
    check_only(with({.schemata = {"L3:0=ff", "L3"}}), "linux.intelRdt.schemata[1]");
    check_only(with({.schemata = {"L3:0=f\nL2:0=f"}}), "linux.intelRdt.schemata[0]");
}

TEST_CASE("a call that an agent answers needs the agent's socket") {
    const auto ask = [](RuntimeConfig& c) {
        c.linux_.seccomp = SeccompProfile{.default_action = "SCMP_ACT_ALLOW"};
        c.linux_.seccomp->syscalls.push_back({.names = {"mkdir"}, .action = "SCMP_ACT_NOTIFY"});
    };
    check_only(after(ask), "linux.seccomp.syscalls[0].action");
    CHECK(after([&](RuntimeConfig& c) {
              ask(c);
              c.linux_.seccomp->listener_path = "/run/agent";
          }).empty());
    CHECK(after([&](RuntimeConfig& c) {
              ask(c);
              c.annotations.emplace_back("run.oci.seccomp.receiver", "/run/agent");
          }).empty());
}

TEST_CASE("a remount needs no source") {
    CHECK(after([](RuntimeConfig& c) {
              c.mounts.push_back({.destination = "/proc", .options = {"bind", "remount", "ro"}});
          }).empty());
}
