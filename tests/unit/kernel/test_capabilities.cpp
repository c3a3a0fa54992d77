#include <linux/capability.h>
#include <signal.h>

#include <doctest/doctest.h>

#include "in_namespaces.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/features.hpp"
#include "kernel/landlock.hpp"
#include "kernel/lsm.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/process_attributes.hpp"

using namespace hull;
using namespace hull::kernel;

TEST_CASE("every capability's name leads to its number and back") {
    auto names = capability_names();
    REQUIRE(names.size() == 41);
    for (int i = 0; i < kCapabilityCount; ++i)
        CHECK(parse_capability(names[static_cast<size_t>(i)]) == i);
    CHECK(parse_capability("CAP_CHOWN") == CAP_CHOWN);
    CHECK(parse_capability("net_bind_service") == CAP_NET_BIND_SERVICE);
    CHECK(parse_capability("CAP_CHECKPOINT_RESTORE") == 40);
    for (const char* bad : {"", "CAP_", "CAP_CHOWNX", "ALL", "CAP_CAP_CHOWN", " chown"})
        CHECK_FALSE(parse_capability(bad));
    CapabilitySet set;
    set.add(CAP_SYS_ADMIN);
    set.add(40);
    CHECK(capability_names(set) ==
          std::vector<std::string>{"CAP_SYS_ADMIN", "CAP_CHECKPOINT_RESTORE"});
    CHECK(last_capability() >= 37);
}

TEST_CASE("the five sets are put into force exactly") {
    auto result = in_child(CLONE_NEWUSER, []() -> Result<void> {
        CapabilitySets wanted;
        for (int capability : {CAP_CHOWN, CAP_KILL, CAP_NET_BIND_SERVICE})
            wanted.bounding.add(capability);
        wanted.permitted = wanted.bounding;
        wanted.effective.add(CAP_KILL);
        wanted.inheritable.add(CAP_CHOWN);
        wanted.ambient.add(CAP_CHOWN);
        TRY(limit_bounding_set(wanted.bounding));
        TRY(apply_capabilities(wanted));
        EXPECT_IN_CHILD(TRY(read_capabilities()) == wanted);
        // What is gone cannot be had again, and says so; with clamp it is left out.
        CapabilitySets more = wanted;
        more.permitted.add(CAP_SYS_ADMIN);
        auto refused = apply_capabilities(more);
        EXPECT_IN_CHILD(!refused && refused.error().code == Errc::denied);
        EXPECT_IN_CHILD(refused.error().message.find("CAP_SYS_ADMIN") != std::string::npos);
        TRY(apply_capabilities(more, {.clamp = true}));
        EXPECT_IN_CHILD(TRY(read_capabilities()) == wanted);
        return {};
    });
    if (!result && result.error().message.starts_with("clone a process")) {
        MESSAGE("skipped: " << result.error().to_string());
        return;
    }
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

TEST_CASE("names of limits, policies and classes are known and strict") {
    CHECK(parse_rlimit("RLIMIT_NOFILE") == RLIMIT_NOFILE);
    CHECK(parse_rlimit("nofile") == RLIMIT_NOFILE);
    CHECK_FALSE(parse_rlimit("RLIMIT_NONE"));
    CHECK(rlimit_names().size() == 16);
    for (const std::string& name : rlimit_names())
        CHECK(rlimit_name(*parse_rlimit(name)) == name);
    CHECK(parse_scheduler_policy("SCHED_DEADLINE") == 6U);
    CHECK_FALSE(parse_scheduler_policy("DEADLINE"));
    CHECK(parse_scheduler_flag("SCHED_FLAG_UTIL_CLAMP_MAX") == 0x40U);
    CHECK(parse_io_priority_class("IOPRIO_CLASS_IDLE") == 3);
    CHECK(parse_memory_policy_mode("MPOL_LOCAL") == 4);
    CHECK(parse_memory_policy_flag("MPOL_F_STATIC_NODES") == 0x8000U);
    CHECK(parse_personality("LINUX32") == 8UL);
    CHECK_FALSE(parse_personality("BSD"));
}

TEST_CASE("lists of CPUs are parsed strictly") {
    CHECK(*parse_number_list("0-2,7\n") == std::vector<uint32_t>{0, 1, 2, 7});
    for (const char* bad : {"", "a", "3-1", "1-", "-1", "0,,1", "0-99999999", "1-2-3"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_number_list(bad));
    }
}

TEST_CASE("a resource limit is lowered, and raising it again is refused with both numbers") {
    auto result = in_child(CLONE_NEWUSER, []() -> Result<void> {
        TRY(set_resource_limit({RLIMIT_NOFILE, 100, 200}));
        EXPECT_IN_CHILD(TRY(read_resource_limit(RLIMIT_NOFILE)).hard == 200);
        auto raised = set_resource_limit({RLIMIT_NOFILE, 300, 300});
        EXPECT_IN_CHILD(!raised && raised.error().code == Errc::denied);
        EXPECT_IN_CHILD(raised.error().to_string().find("200") != std::string::npos);
        auto upside_down = set_resource_limit({RLIMIT_NOFILE, 2, 1});
        EXPECT_IN_CHILD(!upside_down && upside_down.error().code == Errc::invalid);
        TRY(set_scheduler({.policy = 3, .nice = 19}));
        TRY(set_io_priority(3, 0));
        TRY(set_memory_policy({.mode = 0}));
        TRY(set_cpu_affinity({0}));
        EXPECT_IN_CHILD(!set_cpu_affinity({8000}));
        return {};
    });
    if (!result && result.error().message.starts_with("clone a process")) {
        MESSAGE("skipped: " << result.error().to_string());
        return;
    }
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

TEST_CASE("Landlock refuses what no rule allows") {
    if (landlock_abi() == 0) {
        MESSAGE("skipped: Landlock is not active");
        return;
    }
    TemporaryFolder folder;
    auto result = in_child(0, [&]() -> Result<void> {
        LandlockRuleset rules = TRY(LandlockRuleset::create(
            {.handled_files = kLandlockAll, .scopes = kLandlockScopeSignal}));
        Fd root = TRY(open_path("/", O_PATH));
        Fd writable = TRY(open_path(folder.path, O_PATH));
        TRY(rules.allow_path(root.get(), kLandlockRead));
        TRY(rules.allow_path(writable.get(), kLandlockAll));
        TRY(set_no_new_privileges());
        TRY(rules.restrict_self());
        TRY(open_path(folder.path + "/new", O_CREAT | O_WRONLY, 0644));
        auto refused = open_path("/tmp/hull-test-refused", O_CREAT | O_WRONLY, 0644);
        EXPECT_IN_CHILD(!refused && refused.error().code == Errc::denied);
        if (landlock_abi() >= 6) EXPECT_IN_CHILD(::kill(::getppid(), 0) < 0 && errno == EPERM);
        return {};
    });
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

TEST_CASE("a label with a control character is refused, and so is one without its LSM") {
    auto proc = Procfs::create();
    if (!proc) {
        MESSAGE("skipped: " << proc.error().to_string());
        return;
    }
    CHECK(set_apparmor_exec_profile(*proc, "a\nb").error().code == Errc::invalid);
    if (!is_apparmor_enabled())
        CHECK(set_apparmor_exec_profile(*proc, "docker-default").error().code == Errc::unsupported);
    if (!is_selinux_enabled())
        CHECK(set_selinux_exec_label(*proc, "system_u:a:b:s0").error().code == Errc::unsupported);
}

TEST_CASE("namespaces are told apart by kind and identity") {
    for (NamespaceKind kind : kNamespaceKinds)
        CHECK(parse_namespace_kind(namespace_name(kind)) == kind);
    CHECK_FALSE(parse_namespace_kind("net"));
    auto network = open_namespace("/proc/self/ns/net", NamespaceKind::network);
    REQUIRE(network);
    CHECK(*namespace_id(network->get()) == *own_namespace_id(NamespaceKind::network));
    auto wrong = open_namespace("/proc/self/ns/net", NamespaceKind::uts);
    CHECK(wrong.error().message.find("is a network namespace, not a uts") != std::string::npos);
    CHECK(open_namespace("/etc/passwd", NamespaceKind::uts).error().code == Errc::invalid);
    CHECK(open_namespace_of(0x7FFFFFFE, NamespaceKind::uts).error().code == Errc::not_found);
    CHECK(format_time_offsets({.boottime = TimeOffset{5, 6}}) == "boottime 5 6\n");
}

TEST_CASE("the features of this kernel are found without leaving anything behind") {
    CHECK(parse_kernel_version("6.18.44-x") == KernelVersion{6, 18});
    CHECK(parse_kernel_version("nonsense") == KernelVersion{0, 0});
    auto before = list_directory("/proc/self/fd");
    Features features = probe_features();
    CHECK(list_directory("/proc/self/fd")->size() == before->size());
    CHECK_FALSE(features.release.empty());
    CHECK(features.pidfd);
    CHECK(features.openat2);
    CHECK(features.landlock_abi == landlock_abi());
    CHECK_FALSE(features.filesystems.empty());
    if (features.seccomp) CHECK(features.seccomp_flags.size() >= 3);  // since 4.17
    if (kernel_version() >= KernelVersion{5, 7}) CHECK(features.clone_into_cgroup);
}
