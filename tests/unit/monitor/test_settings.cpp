#include <unistd.h>

#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "monitor/oom.hpp"
#include "monitor/settings.hpp"
#include "monitor/status.hpp"
#include "temporary_folder.hpp"

using namespace hull;
using namespace hull::monitor;

TEST_CASE("settings survive the way through their file") {
    MonitorSettings in;
    in.id = "abc";
    in.directory = "/run/hull/abc";
    in.runtime = {"/usr/bin/runc", "--root", "/run/x"};
    in.rootfs = RootfsSettings{};
    in.rootfs->lowers = {"/top", "/bottom"};
    in.rootfs->upper = "/s/upper";
    in.rootfs->work = "/s/work";
    in.rootfs->target = "/run/hull/abc/rootfs";
    in.rootfs->is_volatile = true;
    in.rootfs->mapping.users = {{0, 1000000, 65536}};
    in.rootfs->mapping.groups = {{0, 2000000, 10}, {10, 5, 1}};
    in.seeds = {{"/v", "/data"}};
    in.etc = {.directory = "/run/hull/abc/etc",
              .owner = 1000000,
              .files = {{.name = "hosts", .content = "a\n", .copy_of = "/etc/hosts"}}};
    in.terminal = true;
    in.stdio_uid = 1000033;
    in.log = {"/log", 1000, 3};
    in.on_exit = {"hull", "container", "on-exit", "abc"};
    auto out = parse_settings(format_settings(in), "settings");
    REQUIRE(out);
    CHECK(out->runtime == in.runtime);
    REQUIRE(out->rootfs);
    CHECK(out->rootfs->lowers == in.rootfs->lowers);
    CHECK(out->rootfs->mapping == in.rootfs->mapping);
    CHECK(out->rootfs->is_volatile);
    CHECK(out->seeds.at(0).path == "/data");
    CHECK(out->etc.owner == 1000000);
    CHECK(out->etc.files.at(0).copy_of == "/etc/hosts");
    CHECK(out->terminal);
    CHECK(out->stdio_uid == 1000033);
    CHECK(out->log.max_files == 3);
    CHECK(out->on_exit == in.on_exit);
    CHECK(format_settings(*out) == format_settings(in));
}

TEST_CASE("settings without an id are refused by name") {
    auto out = parse_settings(R"({"directory":"/x","runtime":["r"]})", "settings.json");
    REQUIRE_FALSE(out);
    CHECK(out.error().message.find("settings.json") != std::string::npos);
}

TEST_CASE("a status with an error is read back whole") {
    const TemporaryFolder temporary;
    const std::string& folder = temporary.path;
    Status in;
    in.phase = Phase::failed;
    in.boot_id = boot_id();
    in.pid = 42;
    in.pid_start = 1234567;
    in.error = encode_error(make_error(Errc::denied, "no", "say yes"));
    REQUIRE(save_status(folder, in));
    auto out = load_status(folder);
    REQUIRE(out);
    CHECK(out->phase == Phase::failed);
    CHECK(out->pid_start == 1234567);
    auto error = decode_error(out->error);
    REQUIRE(error);
    CHECK(error->code == Errc::denied);
    CHECK(error->hint == "say yes");
}

TEST_CASE("our own start time is known, that of no process is 0") {
    CHECK(process_start_time(::getpid()) > 0);
    CHECK(process_start_time(0) == 0);
    CHECK(process_start_time(-1) == 0);
}

TEST_CASE("the runtime's last error is what its log says") {
    CHECK(last_runtime_error("{\"level\":\"warning\",\"msg\":\"w\"}\n"
                             "{\"level\":\"error\",\"msg\":\"first\"}\n"
                             "{\"level\":\"error\",\"msg\":\"second\"}\nnot json\n",
                             "fallback") == "second");
    CHECK(last_runtime_error("", "fallback") == "fallback");
}

TEST_CASE("OOM kills are counted where the memory controller is") {
    CHECK(memory_events_path("5:memory:/hull/x\n0::/hull/x\n", "/sys/fs/cgroup") ==
          "/sys/fs/cgroup/memory/hull/x/memory.oom_control");
    CHECK(memory_events_path("0::/hull/x\n", "/sys/fs/cgroup") ==
          "/sys/fs/cgroup/hull/x/memory.events");
    CHECK(memory_events_path("3:cpu,cpuacct:/a:b\n", "/m").empty());
    CHECK(parse_oom_kills("low 0\noom 2\noom_kill 3\n") == 3);
    CHECK(parse_oom_kills("under_oom 0\n") == 0);
}
