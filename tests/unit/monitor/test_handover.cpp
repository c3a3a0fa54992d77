#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "monitor/handover.hpp"

using namespace hull;
using namespace hull::monitor;

namespace {

MonitorSettings some_settings() {
    MonitorSettings settings;
    settings.id = "a";
    settings.directory = "/run/a";
    settings.runtime = {"hull-runtime"};
    settings.own_runtime = true;
    return settings;
}

}  // namespace

TEST_CASE("a handover brings settings, lock and what follows") {
    auto pair = create_socket_pair(SOCK_STREAM).value();
    Fd lock = open_path("/dev/null", O_RDWR).value();
    REQUIRE(send_handover(pair.first.get(), some_settings(), lock.get(), kWantsOutput | kIsOwner));
    auto got = receive_handover(pair.second.get());
    REQUIRE(got);
    REQUIRE(*got);
    CHECK((*got)->settings.directory == "/run/a");
    CHECK((*got)->settings.own_runtime);
    CHECK((*got)->lock);
    CHECK((*got)->lock.get() != lock.get());
    auto hello = (*got)->received.next();
    REQUIRE(hello);
    REQUIRE(*hello);
    CHECK((*hello)->type == FrameType::hello);
    CHECK((*hello)->payload == std::string(1, kWantsOutput | kIsOwner));
}

TEST_CASE("settings larger than one read arrive whole") {
    auto pair = create_socket_pair(SOCK_STREAM).value();
    Fd lock = open_path("/dev/null", O_RDWR).value();
    auto settings = some_settings();
    for (int i = 0; i < 1000; i++)
        settings.on_exit.push_back(std::string(100, 'x'));
    REQUIRE(send_handover(pair.first.get(), settings, lock.get(), 0));
    auto got = receive_handover(pair.second.get());
    REQUIRE(got);
    REQUIRE(*got);
    CHECK((*got)->settings.on_exit.size() == 1000);
    CHECK((*got)->lock);
}

TEST_CASE("a root filesystem goes ahead of the settings") {
    auto pair = create_socket_pair(SOCK_STREAM).value();
    Fd lock = open_path("/dev/null", O_RDWR).value();
    RootfsSettings rootfs;
    rootfs.lowers = {"/a", "/b"};
    rootfs.target = "/t";
    rootfs.mapping.users = {{0, 5, 1}};
    REQUIRE(send_rootfs(pair.first.get(), rootfs));
    REQUIRE(send_handover(pair.first.get(), some_settings(), lock.get(), 0));
    std::vector<RootfsSettings> seen;
    auto got = receive_handover(pair.second.get(),
                                [&](const RootfsSettings& early) { seen.push_back(early); });
    REQUIRE(got);
    CHECK(*got);
    REQUIRE(seen.size() == 1);
    CHECK(seen[0].lowers == rootfs.lowers);
    CHECK(seen[0].target == "/t");
    CHECK(seen[0].mapping.users == rootfs.mapping.users);
}

TEST_CASE("a starter that goes away before the handover wants no monitor") {
    auto pair = create_socket_pair(SOCK_STREAM).value();
    pair.first.reset();
    auto got = receive_handover(pair.second.get());
    REQUIRE(got);
    CHECK_FALSE(*got);
}

TEST_CASE("settings without a lock, and other first frames, are corrupt") {
    for (auto frame : {encode_frame(FrameType::settings, format_settings(some_settings())),
                       encode_frame(FrameType::signal, "9")}) {
        auto pair = create_socket_pair(SOCK_STREAM).value();
        REQUIRE(write_all(pair.first.get(), frame));
        auto got = receive_handover(pair.second.get());
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Errc::corrupt);
    }
}

TEST_CASE("the lock stays held for as long as the monitor has it") {
    auto path = "/tmp/hull-unit-lock-" + std::to_string(::getpid());
    auto pair = create_socket_pair(SOCK_STREAM).value();
    {
        auto lock = LockFile::acquire(path);
        REQUIRE(lock);
        REQUIRE(send_handover(pair.first.get(), some_settings(), lock->fd(), 0));
    }
    CHECK_FALSE(LockFile::try_acquire(path));  // on its way
    {
        auto got = receive_handover(pair.second.get());
        REQUIRE(got);
        CHECK_FALSE(LockFile::try_acquire(path));
    }
    CHECK(LockFile::try_acquire(path));
    ::unlink(path.c_str());
}
