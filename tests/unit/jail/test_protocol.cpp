#include <unistd.h>

#include <doctest/doctest.h>

#include "jail/protocol.hpp"

namespace hull::jail {
namespace {

TEST_CASE("the child's error reaches the parent with its context") {
    auto channel = create_channel();
    REQUIRE(channel);
    Error error = errno_error(13, "open /x");
    channel->child.send_error(std::move(error).with_context("mounts[2]"));
    const auto received = channel->parent.receive();
    REQUIRE_FALSE(received);
    CHECK(received.error().code == Errc::denied);
    CHECK(received.error().sys_errno == 13);
    CHECK(received.error().to_string().find("mounts[2]: open /x") != std::string::npos);
}

TEST_CASE("an error that is longer than a message still arrives as one") {
    auto channel = create_channel();
    REQUIRE(channel);
    channel->child.send_error(make_error(Errc::invalid, std::string(100000, 'x')));
    CHECK_FALSE(channel->parent.receive());
}

TEST_CASE("the parent tells the end of the channel from a message") {
    auto channel = create_channel();
    REQUIRE(channel);
    REQUIRE(channel->child.send_ready());
    channel->child.close();
    const auto ready = channel->parent.receive();
    REQUIRE(ready);
    CHECK(ready->message == Message::ready);
    CHECK_FALSE(ready->is_end);
    const auto end = channel->parent.receive();
    REQUIRE(end);
    CHECK(end->is_end);
}

TEST_CASE("waiting for one message refuses another") {
    auto channel = create_channel();
    REQUIRE(channel);
    REQUIRE(channel->child.send_ready());
    const auto pid = channel->parent.wait_for(Message::child);
    REQUIRE_FALSE(pid);
    CHECK(pid.error().code == Errc::internal);
}

TEST_CASE("an error arrives although the child never read what was sent to it") {
    auto channel = create_channel();
    REQUIRE(channel);
    REQUIRE(channel->parent.send(Message::start));
    channel->child.send_error(make_error(Errc::not_found, "exec: \"x\": not there"));
    channel->child.close();
    const auto received = channel->parent.receive();
    REQUIRE_FALSE(received);
    CHECK(received.error().code == Errc::not_found);
}

TEST_CASE("the middle process tells the child's pid") {
    auto channel = create_channel();
    REQUIRE(channel);
    REQUIRE(channel->child.send_child(4711));
    const auto pid = channel->parent.wait_for(Message::child);
    REQUIRE(pid);
    CHECK(*pid == "4711");
}

TEST_CASE("go carries descriptors in their order") {
    auto channel = create_channel();
    auto pipe = create_pipe();
    REQUIRE(channel);
    REQUIRE(pipe);
    const int fds[] = {pipe->read_end.get(), pipe->write_end.get()};
    REQUIRE(channel->parent.send(Message::go, fds));
    const auto received = channel->child.wait_for_go();
    REQUIRE(received);
    REQUIRE(received->size() == 2);
    REQUIRE(write_all((*received)[1].get(), "x"));
    char letter = 0;
    CHECK(::read((*received)[0].get(), &letter, 1) == 1);
    CHECK(letter == 'x');
}

TEST_CASE("a child whose parent has gone is told so") {
    auto channel = create_channel();
    REQUIRE(channel);
    channel->parent.close();
    const auto started = channel->child.wait_for_start();
    REQUIRE_FALSE(started);
    CHECK(started.error().code == Errc::cancelled);
}

std::string last_record;

TEST_CASE("the child's log records are written by the parent on the way") {
    auto channel = create_channel();
    REQUIRE(channel);
    const auto before = log::settings();
    log::configure(
        {.level = log::Level::debug, .sink = [](log::Level level, std::string_view text) {
             last_record = std::string(log::level_name(level)) + " " + std::string(text);
         }});
    channel->child.send_log(log::Level::info, "device /dev/fuse left out");
    REQUIRE(channel->child.send_ready());
    const auto received = channel->parent.receive();
    log::configure(before);
    REQUIRE(received);
    CHECK(received->message == Message::ready);
    CHECK(last_record == "info device /dev/fuse left out");
}

}  // namespace
}  // namespace hull::jail
