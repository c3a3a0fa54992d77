#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "kernel/seccomp.hpp"
#include "kernel/seccomp_cache.hpp"
#include "kernel/seccomp_optimize.hpp"
#include "temporary_folder.hpp"

using namespace hull;
using namespace hull::kernel;

namespace {

constexpr uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr uint32_t error(uint32_t number) {
    return SECCOMP_RET_ERRNO | number;
}

uint32_t verdict(const SeccompProgram& program, uint32_t arch, uint32_t number,
                 std::array<uint64_t, 6> args = {}) {
    seccomp_data data{};
    data.nr = static_cast<int>(number);
    data.arch = arch;
    for (size_t i = 0; i < args.size(); ++i)
        data.args[i] = args[i];
    auto result = run_seccomp_filter(program.instructions, data);
    REQUIRE(result.has_value());
    return *result;
}

SeccompRule allow(std::vector<std::string> names, std::vector<SeccompArgument> arguments = {}) {
    return {.names = std::move(names),
            .action = SeccompAction::allow,
            .arguments = std::move(arguments)};
}

/// A filter of the size and kind of an engine's default profile.
SeccompFilter engine_filter() {
    SeccompFilter filter{.default_action = SeccompAction::error,
                         .default_errno = 1,
                         .architectures = {"x86_64", "x86", "x32"}};
    filter.rules = {
        allow({"read",         "write",        "open",
               "close",        "stat",         "fstat",
               "lstat",        "poll",         "lseek",
               "mmap",         "mprotect",     "munmap",
               "brk",          "rt_sigaction", "rt_sigprocmask",
               "ioctl",        "pread64",      "pwrite64",
               "readv",        "writev",       "access",
               "pipe",         "select",       "sched_yield",
               "mremap",       "msync",        "mincore",
               "madvise",      "dup",          "dup2",
               "pause",        "nanosleep",    "getitimer",
               "alarm",        "setitimer",    "getpid",
               "sendfile",     "connect",      "accept",
               "sendto",       "recvfrom",     "bind",
               "listen",       "fork",         "vfork",
               "execve",       "exit",         "wait4",
               "kill",         "uname",        "fcntl",
               "flock",        "fsync",        "getcwd",
               "chdir",        "rename",       "mkdir",
               "rmdir",        "openat",       "openat2",
               "statx",        "rseq",         "close_range",
               "futex",        "futex_time64", "socketcall",
               "faccessat2",   "epoll_pwait2", "landlock_restrict_self",
               "no_such_call", "fchmodat2",    "cachestat"}),
        allow({"personality"}, {{0, SeccompOperator::equal, 0x0, 0}}),
        allow({"personality"}, {{0, SeccompOperator::equal, 0x20000, 0}}),
        allow({"personality"}, {{0, SeccompOperator::equal, 0xffffffff, 0}}),
        allow({"socket"}, {{0, SeccompOperator::not_equal, 40, 0}}),
        allow({"clone"}, {{0, SeccompOperator::masked_equal, 2114060288, 0}}),
        {.names = {"clone3"}, .action = SeccompAction::error, .errno_value = ENOSYS},
        {.names = {"keyctl"}, .action = SeccompAction::kill_process},
        {.names = {"ptrace"}, .action = SeccompAction::log},
        allow({"setns"}, {{1, SeccompOperator::greater_or_equal, 1ULL << 40U, 0},
                          {0, SeccompOperator::less, 7, 0}}),
    };
    return filter;
}

}  // namespace

TEST_CASE("an engine's filter allows, refuses and checks arguments on all its architectures") {
    auto program = compile_seccomp(engine_filter());
    REQUIRE_MESSAGE(program.has_value(), program.error().to_string());
    const uint32_t x64 = AUDIT_ARCH_X86_64;
    CHECK(verdict(*program, x64, SYS_read) == kAllow);
    CHECK(verdict(*program, x64, SYS_mount) == error(EPERM));
    CHECK(verdict(*program, x64, SYS_keyctl) == SECCOMP_RET_KILL_PROCESS);
    CHECK(verdict(*program, x64, SYS_ptrace) == SECCOMP_RET_LOG);
    CHECK(verdict(*program, x64, SYS_clone3) == error(ENOSYS));
    CHECK(verdict(*program, x64, SYS_personality, {0x20000}) == kAllow);
    CHECK(verdict(*program, x64, SYS_personality, {0x20001}) == error(EPERM));
    CHECK(verdict(*program, x64, SYS_personality, {0x100020000}) == error(EPERM));
    CHECK(verdict(*program, x64, SYS_socket, {1}) == kAllow);
    CHECK(verdict(*program, x64, SYS_socket, {40}) == error(EPERM));
    CHECK(verdict(*program, x64, SYS_clone, {0x11}) == kAllow);
    CHECK(verdict(*program, x64, SYS_clone, {0x10000000}) == error(EPERM));
    CHECK(verdict(*program, x64, SYS_setns, {3, 1ULL << 41U}) == kAllow);
    CHECK(verdict(*program, x64, SYS_setns, {7, 1ULL << 41U}) == error(EPERM));
    CHECK(verdict(*program, x64, SYS_setns, {3, 1ULL << 39U}) == error(EPERM));
    CHECK(verdict(*program, AUDIT_ARCH_I386, 3) == kAllow);            // read
    CHECK(verdict(*program, AUDIT_ARCH_I386, 21) == error(EPERM));     // mount
    CHECK(verdict(*program, x64, 0x40000000U) == kAllow);              // x32 read
    CHECK(verdict(*program, x64, 0x40000000U + 165) == error(EPERM));  // x32 mount
    CHECK(verdict(*program, AUDIT_ARCH_AARCH64, 63) == SECCOMP_RET_KILL_THREAD);
}

TEST_CASE("calls newer than the profile get ENOSYS, unknown older ones the default") {
    auto program = compile_seccomp(engine_filter());
    REQUIRE(program.has_value());
    const uint32_t x64 = AUDIT_ARCH_X86_64;
    CHECK(verdict(*program, x64, 451) == kAllow);        // cachestat, not in libseccomp 2.5
    CHECK(verdict(*program, x64, 452) == kAllow);        // fchmodat2
    CHECK(verdict(*program, x64, 450) == error(EPERM));  // known to the profile's time
    CHECK(verdict(*program, x64, 453) == error(ENOSYS));
    CHECK(verdict(*program, x64, 5000) == error(ENOSYS));
    CHECK(verdict(*program, AUDIT_ARCH_I386, 452) == kAllow);
    CHECK(verdict(*program, AUDIT_ARCH_I386, 460) == error(ENOSYS));
    CHECK(verdict(*program, x64, 0x40000000U + 452) == kAllow);
    CHECK(verdict(*program, x64, 0x40000000U + 600) == error(ENOSYS));  // x32 has 512-547
}

TEST_CASE("x32 is closed when only x86_64 is asked for") {
    SeccompFilter filter{.architectures = {"x86_64"}, .rules = {allow({"read", "write"})}};
    auto program = compile_seccomp(filter);
    REQUIRE(program.has_value());
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, 0) == kAllow);
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, 0x40000000U) == SECCOMP_RET_KILL_THREAD);
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, 0x40000200U) == SECCOMP_RET_KILL_THREAD);
    CHECK(verdict(*program, AUDIT_ARCH_I386, 3) == SECCOMP_RET_KILL_THREAD);
}

TEST_CASE("a deny-list has no prelude: unnamed calls stay allowed") {
    SeccompFilter filter{.default_action = SeccompAction::allow};
    filter.rules = {{.names = {"mount"}, .action = SeccompAction::error, .errno_value = 38}};
    auto program = compile_seccomp(filter);
    REQUIRE(program.has_value());
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, SYS_mount) == error(38));
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, 9999) == kAllow);
}

TEST_CASE("two conditions on one argument are alternatives") {
    SeccompFilter filter{.architectures = {"x86_64"}};
    filter.rules = {
        allow({"socket"}, {{0, SeccompOperator::equal, 1, 0}, {0, SeccompOperator::equal, 2, 0}})};
    auto program = compile_seccomp(filter);
    REQUIRE(program.has_value());
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, SYS_socket, {1}) == kAllow);
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, SYS_socket, {2}) == kAllow);
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, SYS_socket, {3}) == error(EPERM));
}

TEST_CASE("each comparison is exact over both halves of a 64-bit argument") {
    struct Case {
        SeccompOperator op;
        bool (*holds)(uint64_t value, uint64_t datum);
    };
    const std::array<Case, 6> cases = {{
        {SeccompOperator::not_equal, [](uint64_t v, uint64_t d) { return v != d; }},
        {SeccompOperator::less, [](uint64_t v, uint64_t d) { return v < d; }},
        {SeccompOperator::less_or_equal, [](uint64_t v, uint64_t d) { return v <= d; }},
        {SeccompOperator::equal, [](uint64_t v, uint64_t d) { return v == d; }},
        {SeccompOperator::greater_or_equal, [](uint64_t v, uint64_t d) { return v >= d; }},
        {SeccompOperator::greater, [](uint64_t v, uint64_t d) { return v > d; }},
    }};
    const std::array<uint64_t, 7> values = {0,           1,           0x7fffffff,        0xffffffff,
                                            0x100000000, 0x200000001, 0xffffffffffffffff};
    for (const auto& entry : cases)
        for (uint64_t datum : values) {
            SeccompFilter filter{.architectures = {"x86_64"}};
            filter.rules = {allow({"lseek"}, {{1, entry.op, datum, 0}})};
            auto program = compile_seccomp(filter);
            REQUIRE(program.has_value());
            for (uint64_t value : values)
                CHECK((verdict(*program, AUDIT_ARCH_X86_64, SYS_lseek, {0, value}) == kAllow) ==
                      entry.holds(value, datum));
        }
}

TEST_CASE("the shorter program decides as the library's, over all numbers and sample arguments") {
    const std::array<uint64_t, 12> samples = {0,           1,          2,           40,
                                              0x11,        0x20000,    0xffffffff,  0x10000000,
                                              0x100000000, 0x7e020000, 1ULL << 41U, UINT64_MAX};
    auto deny_list = engine_filter();
    deny_list.default_action = SeccompAction::allow;
    for (auto& rule : deny_list.rules)
        if (rule.action == SeccompAction::allow) rule.action = SeccompAction::trap;
    SeccompFilter only_x86 = engine_filter();
    only_x86.architectures = {"x86"};
    for (const auto& filter : {engine_filter(), deny_list, only_x86}) {
        auto plain = compile_seccomp(filter, SeccompEffort::plain);
        auto shorter = compile_seccomp(filter);
        REQUIRE(plain.has_value());
        REQUIRE(shorter.has_value());
        MESSAGE("instructions: " << plain->instructions.size() << " -> "
                                 << shorter->instructions.size());
        CHECK(shorter->instructions.size() < plain->instructions.size());
        for (uint32_t arch : std::array<uint32_t, 5>{AUDIT_ARCH_X86_64, AUDIT_ARCH_I386,
                                                     AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0})
            for (uint32_t base : {0U, 0x40000000U, 0x7fffff00U, 0xfffffda7U})
                for (uint32_t number = 0; number <= 600; ++number)
                    for (uint64_t sample : samples) {
                        seccomp_data data{};
                        data.arch = arch;
                        data.nr = static_cast<int>(base + number);
                        for (auto& argument : data.args)
                            argument = sample;
                        REQUIRE(run_seccomp_filter(plain->instructions, data) ==
                                run_seccomp_filter(shorter->instructions, data));
                    }
    }
}

TEST_CASE("a program with instructions that are not understood is left alone") {
    const std::array<sock_filter, 3> program = {{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
                                                 {BPF_ALU | BPF_XOR | BPF_K, 0, 0, 5},
                                                 {BPF_RET | BPF_A, 0, 0, 0}}};
    CHECK_FALSE(optimize_seccomp(program, AUDIT_ARCH_X86_64).has_value());
    const std::array<sock_filter, 1> endless = {{{BPF_JMP | BPF_JA, 0, 0, 7}}};
    CHECK_FALSE(optimize_seccomp(endless, AUDIT_ARCH_X86_64).has_value());
    CHECK_FALSE(optimize_seccomp({}, AUDIT_ARCH_X86_64).has_value());
}

TEST_CASE("notification sets the listener flag, and is refused where it would block the runtime") {
    SeccompFilter filter{.default_action = SeccompAction::allow};
    filter.wait_killable = true;
    CHECK((compile_seccomp(filter)->flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) == 0);
    filter.rules = {{.names = {"mkdir"}, .action = SeccompAction::notify}};
    auto program = compile_seccomp(filter);
    REQUIRE(program.has_value());
    CHECK((program->flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0);
    CHECK((program->flags & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) != 0);
    CHECK(verdict(*program, AUDIT_ARCH_X86_64, SYS_mkdir) == SECCOMP_RET_USER_NOTIF);
    filter.rules[0].names = {"write"};
    CHECK(compile_seccomp(filter).error().code == Errc::invalid);
    CHECK(compile_seccomp({.default_action = SeccompAction::notify}).error().code == Errc::invalid);
}

TEST_CASE("an unknown architecture and a bad argument index are refused") {
    CHECK(compile_seccomp({.architectures = {"z80"}}).error().code == Errc::invalid);
    SeccompFilter filter;
    filter.rules = {allow({"read"}, {{6, SeccompOperator::equal, 0, 0}})};
    CHECK(compile_seccomp(filter).error().code == Errc::invalid);
    CHECK(compile_seccomp({.architectures = {"x86_64", "loongarch64", "s390x"}}).has_value());
}

TEST_CASE("names of actions, operators and architectures go both ways") {
    for (const auto& name : known_seccomp_actions())
        CHECK(parse_seccomp_action(name).has_value());
    CHECK(seccomp_action_name(*parse_seccomp_action("SCMP_ACT_ERRNO")) == "SCMP_ACT_ERRNO");
    CHECK(parse_seccomp_action("SCMP_ACT_KILL") == SeccompAction::kill_thread);
    CHECK_FALSE(parse_seccomp_action("ALLOW").has_value());
    for (const auto& name : known_seccomp_operators())
        CHECK(seccomp_operator_name(*parse_seccomp_operator(name)) == name);
    CHECK(parse_seccomp_architecture("SCMP_ARCH_X86_64") == "x86_64");
    CHECK(seccomp_architecture_name("mips64n32") == "SCMP_ARCH_MIPS64N32");
    CHECK_FALSE(parse_seccomp_architecture("SCMP_ARCH_Z80").has_value());
}

TEST_CASE("a cache entry is used once it is stored, and only for its own filter") {
    TemporaryFolder directory;
    const std::string cache = join_path(directory.path, "seccomp");
    auto filter = engine_filter();
    auto first = load_or_compile_seccomp(filter, cache);
    REQUIRE(first.has_value());
    auto entries = list_directory(cache);
    REQUIRE(entries.has_value());
    REQUIRE(entries->size() == 1);
    struct stat status{};
    REQUIRE(stat(join_path(cache, (*entries)[0]).c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0600);

    // What is read back is what was stored: an entry with another answer shows that it is used.
    SeccompProgram other{.instructions = {{BPF_RET | BPF_K, 0, 0, kAllow}}, .flags = 2};
    const std::string path = join_path(cache, (*entries)[0]);
    const std::string source = seccomp_source(filter);
    REQUIRE(write_file_atomically(path, encode_seccomp_entry(source, other), {.mode = 0600})
                .has_value());
    auto second = load_or_compile_seccomp(filter, cache);
    REQUIRE(second.has_value());
    CHECK(second->instructions.size() == 1);
    CHECK(second->flags == 2);
}

TEST_CASE("damaged, foreign and writable cache entries are ignored") {
    TemporaryFolder directory;
    const std::string cache = join_path(directory.path, "seccomp");
    SeccompFilter filter{.architectures = {"x86_64"}, .rules = {allow({"read"})}};
    REQUIRE(load_or_compile_seccomp(filter, cache).has_value());
    const std::string path = join_path(cache, list_directory(cache)->at(0));
    const std::string good = *read_file(path);
    const SeccompProgram planted{.instructions = {{BPF_RET | BPF_K, 0, 0, kAllow}}};
    const std::string entry = encode_seccomp_entry(seccomp_source(filter), planted);
    auto is_planted = [&] {
        return load_or_compile_seccomp(filter, cache)->instructions.size() == 1;
    };
    for (size_t at : {size_t{0}, good.size() / 2, good.size() - 1}) {
        std::string damaged = entry;
        damaged[std::min(at, damaged.size() - 1)] ^= 1;
        REQUIRE(write_file_atomically(path, damaged, {.mode = 0600}).has_value());
        CHECK_FALSE(is_planted());
    }
    REQUIRE(
        write_file_atomically(path, entry.substr(0, entry.size() - 3), {.mode = 0600}).has_value());
    CHECK_FALSE(is_planted());
    REQUIRE(write_file_atomically(path, entry, {.mode = 0600}).has_value());
    CHECK(is_planted());
    REQUIRE(chmod(path.c_str(), 0620) == 0);
    CHECK_FALSE(is_planted());
    REQUIRE(write_file_atomically(path, entry, {.mode = 0600}).has_value());
    REQUIRE(chmod(cache.c_str(), 0777) == 0);
    CHECK_FALSE(is_planted());
    REQUIRE(chmod(cache.c_str(), 0700) == 0);
    const std::string elsewhere = join_path(directory.path, "elsewhere");
    REQUIRE(write_file_atomically(elsewhere, entry, {.mode = 0600}).has_value());
    REQUIRE(unlink(path.c_str()) == 0);
    REQUIRE(symlink(elsewhere.c_str(), path.c_str()) == 0);
    CHECK_FALSE(is_planted());
}

TEST_CASE("different filters have different sources") {
    SeccompFilter a{.rules = {allow({"ab", "c"})}};
    SeccompFilter b{.rules = {allow({"a", "bc"})}};
    SeccompFilter c{.rules = {allow({"ab 1:c"})}};
    SeccompFilter d{.rules = {allow({"ab"}), allow({"c"})}};
    CHECK(seccomp_source(a) != seccomp_source(b));
    CHECK(seccomp_source(a) != seccomp_source(c));
    CHECK(seccomp_source(a) != seccomp_source(d));
}
