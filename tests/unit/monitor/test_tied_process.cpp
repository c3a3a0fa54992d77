#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include <doctest/doctest.h>

#include "base/fd.hpp"
#include "base/spawn.hpp"
#include "monitor/tied_process.hpp"

using namespace hull;
using namespace hull::monitor;

TEST_CASE("a forked process gets its descriptors and no others") {
    Pipe out = create_pipe().value();
    Fd other = open_path("/dev/null", O_RDONLY).value();
    int hidden = other.get();
    auto work = [&] {
        bool is_closed = ::fcntl(hidden, F_GETFD) < 0 && ::fcntl(out.read_end.get(), F_GETFD) < 0;
        (void)write_all(1, is_closed ? "closed" : "open");
        return 7;
    };
    auto pid = fork_process({.name = "test", .work = work, .fds = {{out.write_end.get(), 1}}});
    REQUIRE(pid);
    out.write_end.reset();
    CHECK(read_all(out.read_end.get()).value() == "closed");
    CHECK(wait_for(*pid).value().code == 7);
}

TEST_CASE("a forked process has default signals") {
    auto before = std::signal(SIGPIPE, SIG_IGN);
    auto work = [] { return std::signal(SIGPIPE, SIG_IGN) == SIG_DFL ? 0 : 1; };
    auto pid = fork_process({.name = "test", .work = work});
    REQUIRE(pid);
    CHECK(wait_for(*pid).value().success());
    std::signal(SIGPIPE, before);
}

TEST_CASE("a tied process dies with the one that forked it") {
    Pipe alive = create_pipe().value();  // its end is seen when the last holder is gone
    auto middle = fork_process(
        {.name = "middle",
         .work =
             [] {
                 auto waits = [] {
                     ::pause();
                     return 0;
                 };
                 // Stdout is the pipe in both.
                 return fork_process({.name = "tied", .work = waits, .fds = {{1, 1}}, .tied = true})
                            ? (::usleep(20'000), 0)
                            : 1;
             },
         .fds = {{alive.write_end.get(), 1}}});
    REQUIRE(middle);
    alive.write_end.reset();
    CHECK(wait_for(*middle).value().success());
    CHECK(read_all(alive.read_end.get()).value().empty());  // else this never ends
}
