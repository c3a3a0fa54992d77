#pragma once

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include <functional>
#include <string>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "base/result.hpp"
#include "kernel/idmap.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/process.hpp"
#include "temporary_folder.hpp"

namespace hull::kernel {

/// Runs `body` in a child process; its error comes back.
inline Result<void> in_child(uint64_t clone_flags, const std::function<Result<void>()>& body) {
    Pipe report = TRY(create_pipe());
    Pipe go = TRY(create_pipe());
    ClonedProcess child = TRY(clone_process({.namespaces = clone_flags}));
    if (child.is_child()) {
        report.read_end.reset();
        go.write_end.reset();
        char byte = 0;
        if (::read(go.read_end.get(), &byte, 1) != 1) ::_exit(1);
        auto result = body();
        (void)write_all(report.write_end.get(), result ? "ok" : encode_error(result.error()));
        ::_exit(0);
    }
    report.write_end.reset();
    if ((clone_flags & CLONE_NEWUSER) != 0)
        TRY(write_id_maps(child.pid, {{{0, ::geteuid(), 1}}, {{0, ::getegid(), 1}}}));
    TRY(write_all(go.write_end.get(), "g"));
    std::string answer = TRY(read_all(report.read_end.get()));
    TRY(wait_for_pidfd(child.pidfd.get()));
    if (answer == "ok") return {};
    auto error = decode_error(answer);
    if (error) return fail(std::move(*error));
    return fail(Errc::internal, "the child of the test ended without an answer");
}

/// Runs `body` as root of a user namespace of its own, with a private mount namespace: what needs
/// no right of the host. False, with the reason, where ordinary users may not make them.
inline bool in_private_mounts(const std::function<Result<void>()>& body) {
    auto whole = [&body]() -> Result<void> {
        if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) < 0)
            return fail_errno(errno, "make the mounts private");
        return body();
    };
    auto result = in_child(CLONE_NEWUSER | CLONE_NEWNS, whole);
    if (!result && result.error().message.starts_with("clone a process")) {
        MESSAGE("skipped: " << result.error().to_string());
        return false;
    }
    std::string text = result ? "" : result.error().to_string();
    CHECK_MESSAGE(result.has_value(), text);
    return result.has_value();
}

/// Inside a body: a false condition is an error with its text.
#define EXPECT_IN_CHILD(condition)                                                        \
    do {                                                                                  \
        if (!(condition)) return ::hull::fail(::hull::Errc::internal, "not " #condition); \
    } while (false)

}  // namespace hull::kernel
