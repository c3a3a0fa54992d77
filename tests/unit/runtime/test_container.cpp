#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "runtime/container.hpp"
#include "temporary_folder.hpp"

using namespace hull;
using namespace hull::runtime;

TEST_CASE("a container's state reads back as it was written") {
    ContainerState state{.id = "c",
                         .oci_version = "1.3.0",
                         .bundle = "/b \"x\"",
                         .rootfs = "/b/r",
                         .created = "2026-01-01T00:00:00Z",
                         .boot_id = "boot",
                         .process = {.pid = 5, .start_time = 77},
                         .cgroup_path = "/hull/c",
                         .cgroups = {.v1 = {{"memory", "/m"}}, .v2 = "/u"},
                         .cgroups_are_planned = true,
                         .systemd_unit = "c.scope",
                         .is_rootless = true,
                         .keeps_keyring = true,
                         .owns_pid_namespace = true,
                         .annotations = {{"a", "b"}},
                         .poststart_hooks = {{.path = "/h", .args = {"h"}, .env = {"A=b"}}},
                         .poststop_hooks = {{.path = "/p", .timeout = 3}}};
    auto again = parse_state(format_state(state), "state.json");
    REQUIRE_MESSAGE(again, again.error().to_string());
    CHECK(format_state(*again) == format_state(state));
    CHECK(again->process == state.process);
    CHECK(again->poststop_hooks == state.poststop_hooks);
}

TEST_CASE("a state that is none is corrupt") {
    for (const char* text : {"", "{", "[]", "{}", R"({"id":5})"}) {
        auto state = parse_state(text, "state.json");
        REQUIRE_FALSE(state);
        CHECK(state.error().code == Errc::corrupt);
    }
}

TEST_CASE("container ids are of few letters") {
    for (const char* good : {"a", "A.b-c_d+e", "0123", "..."})
        CHECK(check_container_id(good).has_value());
    for (const char* bad : {"", ".", "..", "a/b", "a b", "ä", ".seccomp", "a\n"})
        CHECK_FALSE(check_container_id(bad).has_value());
    CHECK_FALSE(check_container_id(std::string(256, 'a')).has_value());
}

TEST_CASE("an id is taken once, and free again after the removal") {
    TemporaryFolder root;
    {
        auto first = Container::create(root.path, "c");
        REQUIRE(first);
        auto second = Container::create(root.path, "c");
        REQUIRE_FALSE(second);
        CHECK(second.error().code == Errc::exists);
        CHECK(second.error().message.find("container with given ID already exists") == 0);
        REQUIRE(first->remove_directory());
    }
    CHECK(Container::create(root.path, "c").has_value());
    auto missing = Container::open(root.path, "other");
    REQUIRE_FALSE(missing);
    CHECK(missing.error().message.find("does not exist") != std::string::npos);
}

TEST_CASE("a container that is locked by another process is creating, and stopped when that died") {
    TemporaryFolder root;
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    pid_t child = ::fork();
    if (child == 0) {
        auto container = Container::create(root.path, "c");
        (void)!::write(ready[1], container ? "y" : "n", 1);
        ::pause();
        ::_exit(0);
    }
    char answer = 0;
    REQUIRE(::read(ready[0], &answer, 1) == 1);
    REQUIRE(answer == 'y');
    auto container = Container::open(root.path, "c");
    REQUIRE(container);
    CHECK(container->lock_holder() == child);
    CHECK(container->status() == Status::creating);
    auto locked = container->try_lock();
    REQUIRE(locked);
    CHECK_FALSE(*locked);
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    CHECK(container->status() == Status::stopped);
    CHECK(container->lock().has_value());
    ::close(ready[0]);
    ::close(ready[1]);
}

TEST_CASE("a process of another boot or start time is not the container's") {
    TemporaryFolder root;
    auto container = Container::create(root.path, "c");
    REQUIRE(container);
    auto own = kernel::read_process_stat(::getpid());
    REQUIRE(own);
    container->state.process = {.pid = ::getpid(), .start_time = own->start_time};
    container->state.boot_id = *read_boot_id();
    CHECK(container->open_process().has_value());
    CHECK(container->status() == Status::running);
    container->state.process.start_time += 1;
    CHECK_FALSE(container->open_process().has_value());
    container->state.process.start_time -= 1;
    container->state.boot_id = "another";
    auto gone = container->open_process();
    REQUIRE_FALSE(gone);
    CHECK(gone.error().message.find("container not running") == 0);
}
