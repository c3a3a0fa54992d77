// Writing id maps, and user namespaces made for them: part of idmap.hpp.

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>

#include "base/spawn.hpp"
#include "base/text.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/idmap.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/process.hpp"

namespace hull::kernel {

namespace {

Result<void> write_map_file(const std::string& path, const std::string& content) {
    Fd file = TRY(open_path(path, O_WRONLY));
    // The kernel takes a map in one write only.
    ssize_t put = ::write(file.get(), content.data(), content.size());
    if (put < 0) {
        int cause = errno;
        std::string hint;
        if (cause == EPERM)
            hint =
                "mapping these ids needs CAP_SETUID and CAP_SETGID over them, or newuidmap "
                "with a range in /etc/subuid";
        return fail_errno(cause, "write " + path, hint);
    }
    if (static_cast<size_t>(put) != content.size())
        return fail(Errc::io, "write " + path + ": only a part was taken");
    return {};
}

bool can_map_any_id() {
    auto effective = read_effective_capabilities();
    return effective && effective->has(CAP_SETUID) && effective->has(CAP_SETGID);
}

/// user_namespaces(7): who lacks the capabilities may map one id, its own.
bool is_own_id_only(const IdMapping& mapping) {
    return mapping.users.size() == 1 && mapping.groups.size() == 1 && mapping.users[0].count == 1 &&
           mapping.groups[0].count == 1 && mapping.users[0].outside == ::geteuid() &&
           mapping.groups[0].outside == ::getegid();
}

Result<void> write_directly(pid_t pid, const IdMapping& mapping, bool deny_setgroups) {
    std::string folder = "/proc/" + std::to_string(pid) + "/";
    TRY(write_map_file(folder + "uid_map", format_id_map(mapping.users)));
    if (deny_setgroups) TRY(write_map_file(folder + "setgroups", "deny"));
    return write_map_file(folder + "gid_map", format_id_map(mapping.groups));
}

Result<void> run_helper(const char* program, pid_t pid, const IdMap& map) {
    SpawnRequest request;
    request.program = program;
    request.args.push_back(std::to_string(pid));
    for (const IdRange& range : map) {
        request.args.push_back(std::to_string(range.inside));
        request.args.push_back(std::to_string(range.outside));
        request.args.push_back(std::to_string(range.count));
    }
    auto output = run_command(request);
    if (!output) {
        Error error = std::move(output).error();
        if (error.code == Errc::not_found)
            error.hint = std::string("install ") + program + " (Debian's package uidmap)";
        return fail(std::move(error));
    }
    if (output->status.success()) return {};
    return fail(Errc::denied, std::string(program) + " refused: " + std::string(trim(output->err)),
                "the ids must lie in the user's ranges of /etc/subuid and /etc/subgid");
}

}  // namespace

Result<void> write_id_maps(pid_t pid, const IdMapping& mapping, MapWriter writer) {
    TRY(check_id_map(mapping.users, "uid map"));
    TRY(check_id_map(mapping.groups, "gid map"));
    if (writer == MapWriter::automatic) {
        if (can_map_any_id()) return write_directly(pid, mapping, false);
        if (is_own_id_only(mapping)) return write_directly(pid, mapping, true);
        writer = MapWriter::helpers;
    }
    if (writer == MapWriter::direct) return write_directly(pid, mapping, !can_map_any_id());
    TRY(run_helper("newuidmap", pid, mapping.users));
    return run_helper("newgidmap", pid, mapping.groups);
}

Result<UnmappedUserNamespace> UnmappedUserNamespace::create() {
    Pipe hold = TRY(create_pipe());
    ClonedProcess child = TRY(clone_process({.namespaces = CLONE_NEWUSER}));
    if (child.is_child()) {
        // Lives until the parent has what it wants, or is gone.
        hold.write_end.reset();
        char byte = 0;
        while (::read(hold.read_end.get(), &byte, 1) < 0 && errno == EINTR) {
        }
        ::_exit(0);
    }
    return UnmappedUserNamespace(child.pid, std::move(child.pidfd), std::move(hold.write_end));
}

UnmappedUserNamespace::~UnmappedUserNamespace() {
    if (!pidfd_) return;
    hold_.reset();
    (void)wait_for_pidfd(pidfd_.get());
}

Result<Fd> UnmappedUserNamespace::map(const IdMapping& mapping) {
    TRY(with_context(write_id_maps(pid_, mapping), "make a user namespace for idmapped mounts"));
    auto opened = open_namespace_of(pid_, NamespaceKind::user);
    hold_.reset();
    return opened;
}

Result<Fd> create_user_namespace(const IdMapping& mapping) {
    auto made = TRY(UnmappedUserNamespace::create());
    return made.map(mapping);
}

namespace {

/// Runs in a process that stays in the old user namespace: waits, then maps its parent.
[[noreturn]] void map_parent(pid_t parent, const IdMapping& mapping, int go, int report) {
    char byte = 0;
    ssize_t got = 0;
    do {
        got = ::read(go, &byte, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1) ::_exit(1);  // the parent could not unshare, or is gone
    auto result = write_id_maps(parent, mapping);
    std::string text = result ? "ok" : encode_error(result.error());
    (void)write_all(report, text);
    ::_exit(0);
}

Result<void> unshare_and_be_mapped(uint64_t clone_flags, const IdMapping& mapping) {
    Pipe go = TRY(create_pipe());
    Pipe report = TRY(create_pipe());
    pid_t self = ::getpid();
    ClonedProcess helper = TRY(clone_process({}));
    if (helper.is_child()) {
        go.write_end.reset();
        report.read_end.reset();
        map_parent(self, mapping, go.read_end.get(), report.write_end.get());
    }
    report.write_end.reset();
    auto unshared = unshare_namespaces(CLONE_NEWUSER | clone_flags);
    if (unshared) (void)write_all(go.write_end.get(), "g");
    go.write_end.reset();
    auto text = read_all(report.read_end.get());
    auto ended = wait_for_pidfd(helper.pidfd.get());
    TRY(std::move(unshared));
    TRY(std::move(ended));
    std::string answer = TRY(std::move(text));
    if (answer == "ok") return {};
    auto error = decode_error(answer);
    if (error) return fail(std::move(*error));
    return fail(Errc::internal, "the process that writes the id maps ended without an answer");
}

}  // namespace

Result<IdMapping> enter_user_namespace_with_full_range(FullRangeOptions options) {
    uid_t uid = ::geteuid();
    gid_t gid = ::getegid();
    auto range = full_range_mapping(uid, gid);
    IdMapping mapping;
    if (range) {
        mapping = std::move(*range);
    } else if (options.allow_single && range.error().code == Errc::not_found) {
        mapping = IdMapping{{{0, uid, 1}}, {{0, gid, 1}}};
    } else {
        return fail(std::move(range).error());
    }
    TRY(with_context(unshare_and_be_mapped(options.clone_flags, mapping),
                     "enter a user namespace with the user's ids"));
    if (::setresgid(0, 0, 0) < 0) return fail_errno(errno, "become group 0 of the namespace");
    if (::setresuid(0, 0, 0) < 0) return fail_errno(errno, "become user 0 of the namespace");
    // The change of ids made us undumpable, and with us the children that are to be mapped next:
    // their /proc/PID/uid_map would belong to the host's root.
    TRY(set_dumpable(true));
    return mapping;
}

}  // namespace hull::kernel
