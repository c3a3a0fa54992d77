#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include <doctest/doctest.h>

#include "in_namespaces.hpp"
#include "kernel/process.hpp"

using namespace hull;
using namespace hull::kernel;

TEST_CASE("a process stat is read even if the name tries to look like fields") {
    auto stat = parse_process_stat(
        "42 (a) R 1 (b) S 7 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21\n");
    REQUIRE(stat);
    CHECK(stat->pid == 42);
    CHECK(stat->name == "a) R 1 (b");
    CHECK(stat->state == 'S');
    CHECK(stat->parent == 7);
    CHECK(stat->start_time == 777);
    for (const char* bad : {"", "42", "42 (x", "42 (x) S 1", "x (y) S 1 2 3", "1 () S"}) {
        CAPTURE(bad);
        CHECK_FALSE(parse_process_stat(bad));
    }
}

TEST_CASE("a process is identified by pid and start time") {
    auto pidfd = open_pidfd(::getpid());
    REQUIRE(pidfd);
    auto identity = identify_process(pidfd->get());
    REQUIRE(identity);
    CHECK(identity->pid == ::getpid());
    CHECK(identity->start_time > 0);
    CHECK(open_process(*identity));
    auto other = *identity;
    other.start_time += 1;
    CHECK(open_process(other).error().code == Errc::not_found);
}

TEST_CASE("a child is signalled and waited for by descriptor") {
    auto child = clone_process({});
    REQUIRE(child);
    if (child->is_child()) {
        for (;;)
            ::pause();
    }
    CHECK(*pid_of_pidfd(child->pidfd.get()) == child->pid);
    CHECK_FALSE(try_wait_for_pidfd(child->pidfd.get())->has_value());
    CHECK_FALSE(*wait_until_ended(child->pidfd.get(), std::chrono::milliseconds{0}));
    auto identity = identify_process(child->pidfd.get());
    REQUIRE(identity);
    REQUIRE(send_signal(child->pidfd.get(), SIGKILL));
    CHECK(*wait_until_ended(child->pidfd.get(), std::chrono::seconds{60}));
    CHECK(open_process(*identity).error().code == Errc::not_found);  // a zombie is gone
    auto status = wait_for_pidfd(child->pidfd.get());
    REQUIRE(status);
    CHECK(status->signal == SIGKILL);
    auto late = send_signal(child->pidfd.get(), 0);
    CHECK(late.error().code == Errc::not_found);
    CHECK(late.error().message.find("no such process") != std::string::npos);
    CHECK(pid_of_pidfd(child->pidfd.get()).error().code == Errc::not_found);
}

TEST_CASE("signals are parsed strictly") {
    CHECK(*parse_signal("TERM") == SIGTERM);
    CHECK(*parse_signal("sigkill") == SIGKILL);
    CHECK(*parse_signal("9") == SIGKILL);
    CHECK(*parse_signal("RTMIN+3") == 37);
    CHECK(*parse_signal("SIGRTMAX-1") == 63);
    CHECK(*parse_signal("IOT") == SIGABRT);
    for (const char* bad : {"", "0", "65", "-9", "9 ", "TERMX", "RTMIN+31", "RTMIN-1", "SIG"}) {
        CAPTURE(bad);
        CHECK(parse_signal(bad).error().code == Errc::invalid);
    }
    for (int signal = 1; signal <= 64; ++signal)
        if (signal != 32 && signal != 33) CHECK(*parse_signal(signal_name(signal)) == signal);
}

TEST_CASE("the attributes of a process are set for it and its children") {
    auto result = in_child(0, []() -> Result<void> {
        TRY(set_no_new_privileges());
        EXPECT_IN_CHILD(TRY(has_no_new_privileges()));
        TRY(set_dumpable(false));
        EXPECT_IN_CHILD(::prctl(PR_GET_DUMPABLE) == 0);
        TRY(set_child_subreaper(true));
        int on = 0;
        EXPECT_IN_CHILD(::prctl(PR_GET_CHILD_SUBREAPER, &on) == 0 && on == 1);
        EXPECT_IN_CHILD(!set_parent_death_signal(SIGKILL, 1));
        ::signal(SIGUSR1, SIG_IGN);
        reset_signals();
        EXPECT_IN_CHILD(::signal(SIGUSR1, SIG_DFL) == SIG_DFL);
        return {};
    });
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

TEST_CASE("descriptors are marked close-on-exec and closed by range") {
    auto result = in_child(0, []() -> Result<void> {
        int fd = ::fcntl(0, F_DUPFD, 500);
        EXPECT_IN_CHILD(fd >= 500);
        TRY(close_on_exec_from(500));
        EXPECT_IN_CHILD(::fcntl(fd, F_GETFD) == FD_CLOEXEC);
        TRY(close_fds(500));
        EXPECT_IN_CHILD(::fcntl(fd, F_GETFD) == -1);
        return {};
    });
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}
