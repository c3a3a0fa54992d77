#include <fcntl.h>
#include <sys/socket.h>

#include <array>

#include <doctest/doctest.h>

#include "base/closing.hpp"
#include "base/fd.hpp"
#include "base/spawn.hpp"

namespace hull {
namespace {

bool is_open(int fd) {
    return ::fcntl(fd, F_GETFD) >= 0;
}

Fd null_device() {
    auto fd = open_path("/dev/null", O_RDONLY);
    REQUIRE(fd);
    return std::move(*fd);
}

TEST_CASE("what is closed together stays open until then, and what is kept stays") {
    Fd kept;
    std::array<int, 4> let_go{};
    {
        const ClosedTogether closing;
        for (size_t i = 0; i < let_go.size(); ++i) {
            if (i == 2) kept = null_device();
            let_go[i] = null_device().get();
        }
        for (const int fd : let_go)
            CHECK(is_open(fd));
    }
    for (const int fd : let_go)
        CHECK_FALSE(is_open(fd));
    CHECK(is_open(kept.get()));
}

TEST_CASE("descriptors with high numbers are closed at once") {
    const ClosedTogether closing;
    const Fd low = null_device();
    Fd high{::fcntl(low.get(), F_DUPFD_CLOEXEC, 500)};
    const int number = high.get();
    REQUIRE(number >= 500);
    high.reset();
    CHECK_FALSE(is_open(number));
}

TEST_CASE("an inner ClosedTogether closes nothing before the outer one") {
    int fd = -1;
    {
        const ClosedTogether outer;
        {
            const ClosedTogether inner;
            fd = null_device().get();
        }
        CHECK(is_open(fd));
    }
    CHECK_FALSE(is_open(fd));
}

TEST_CASE("an abandoned ClosedTogether closes nothing") {
    int fd = -1;
    {
        ClosedTogether closing;
        closing.abandon();
        fd = null_device().get();
    }
    CHECK(is_open(fd));
    const Fd owner{fd};
}

TEST_CASE("after the end of a ClosedTogether descriptors are closed at once") {
    int before = -1;
    int after = -1;
    {
        const ClosedTogether closing;
        before = null_device().get();
        ClosedTogether::end();
        after = null_device().get();
        CHECK_FALSE(is_open(after));
    }
    CHECK(is_open(before));
    const Fd owner{before};
}

TEST_CASE("pipes and sockets are closed at once: their other ends see it") {
    const ClosedTogether closing;
    auto pipe = create_pipe();
    REQUIRE(pipe);
    pipe->write_end.reset();
    auto text = read_all(pipe->read_end.get());  // would wait for ever for the end of the file
    REQUIRE(text);
    CHECK(text->empty());
    auto sockets = create_socket_pair(SOCK_SEQPACKET);
    REQUIRE(sockets);
    sockets->first.reset();
    auto message = receive_with_fds(sockets->second.get());
    REQUIRE(message);
    CHECK(message->bytes.empty());
    auto done = run_command({.program = "cat"}, "text");
    REQUIRE(done);
    CHECK(done->out == "text");
}

}  // namespace
}  // namespace hull
