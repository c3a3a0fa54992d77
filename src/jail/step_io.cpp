#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

#include "base/closing.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "jail/mount_tools.hpp"
#include "jail/step.hpp"
#include "kernel/mount.hpp"
#include "kernel/process.hpp"
#include "kernel/terminal.hpp"

// Terminal, standard descriptors, environment, working directory, and the program itself.

namespace hull::jail {

void give_pipes_to(uid_t uid, gid_t gid) {
    if (uid == 0 && gid == 0) return;
    // Reopening /dev/stdout, as nginx does, is checked against the pipe's owner.
    for (const int fd : {0, 1, 2}) {
        struct stat info{};
        if (::fstat(fd, &info) < 0 || !S_ISFIFO(info.st_mode) || info.st_uid == uid) continue;
        if (::fchown(fd, uid, gid) < 0)
            log::debug("standard descriptor " + std::to_string(fd) + " keeps its owner");
    }
}

Result<void> give_stdio_to_user(LaunchSetup& setup) {
    const auto& process = setup.plan->process;
    const uid_t uid = setup.outside_uid(process.uid);
    const gid_t gid = setup.outside_gid(process.gid);
    if (!process.terminal && uid != static_cast<uid_t>(-1)) give_pipes_to(uid, gid);
    return {};
}

namespace {

/// Mounts the terminal on /dev/console by descriptor: no path of the image is trusted with it
/// (CVE-2025-52565).
Result<void> bind_console(const kernel::RootedPath& root, int slave) {
    const Fd source = TRY(kernel::clone_mount(slave, ""));
    auto refusing = TRY(root.duplicate());
    refusing.set_links(kernel::Links::refuse);
    const Fd target = TRY(refusing.make_mount_target("/dev/console", true));
    return kernel::attach_mount(source.get(), target.get());
}

}  // namespace

Result<void> open_console(ProgramSetup& setup) {
    const auto& process = *setup.process;
    if (!process.terminal || setup.console_socket < 0) return {};
    const auto root = TRY(kernel::RootedPath::open("/"));
    const Fd devpts = TRY(with_context(root.open_directory("/dev/pts"), "terminal"));
    auto pty = TRY(with_context(kernel::create_pty_in(devpts.get()), "terminal"));
    if (::fchown(pty.slave.get(), process.uid, static_cast<gid_t>(-1)) < 0)
        log::debug("the terminal keeps its owner");
    if (process.console_size)
        TRY(kernel::set_window_size(pty.master.get(), {.rows = process.console_size->height,
                                                       .columns = process.console_size->width}));
    if (setup.bind_console) TRY(with_context(bind_console(root, pty.slave.get()), "/dev/console"));
    TRY(with_context(kernel::send_console(setup.console_socket, pty.master.get()),
                     "send the terminal"));
    TRY(kernel::make_controlling_terminal(pty.slave.get()));
    for (const int fd : {0, 1, 2})
        if (::dup2(pty.slave.get(), fd) < 0) return fail_errno(errno, "set up the terminal");
    return {};
}

/// Close-on-exec comes too late for the walk to the program itself: with a descriptor of the host
/// still open, argv[0] as /proc/self/fd/N/../../bin/sh would run the host's (CVE-2024-21626). What
/// stays until then is no directory: the channel, the fifo, the files that hooks write to, and what
/// the caller preserves.
Result<void> close_host_descriptors(ProgramSetup& setup) {
    setup.procfs.reset();
    TRY(close_descriptors_but(static_cast<unsigned>(3 + setup.preserve_fds),
                              {setup.channel->fd(), setup.start_fifo, setup.hook_outputs.out,
                               setup.hook_outputs.errors}));
    // Later ones must be gone again before anybody can name them by /proc/self/fd.
    ClosedTogether::end();
    return {};
}

Result<void> close_descriptors_but(unsigned first, std::initializer_list<int> kept) {
    std::vector<int> sorted(kept);
    std::ranges::sort(sorted);
    unsigned next = first;
    for (const int fd : sorted) {
        if (fd < 0 || static_cast<unsigned>(fd) < next) continue;
        if (static_cast<unsigned>(fd) > next)
            TRY(kernel::close_fds(next, static_cast<unsigned>(fd) - 1));
        next = static_cast<unsigned>(fd) + 1;
    }
    return kernel::close_fds(next);
}

namespace {

/// A cwd behind a leaked descriptor of the host shows as a relative or unreachable path
/// (CVE-2024-21626).
Result<void> verify_working_directory() {
    std::array<char, PATH_MAX> buffer{};
    const long size = ::syscall(SYS_getcwd, buffer.data(), buffer.size());
    if (size <= 0 || buffer[0] != '/')
        return fail(Errc::denied, "process.cwd is outside of the container's root");
    return {};
}

Result<void> make_and_enter(const std::string& path) {
    const auto root = TRY(kernel::RootedPath::open("/"));
    TRY(root.make_directories(path, 0755));
    if (::chdir(path.c_str()) < 0) return fail_errno(errno, "enter " + quote(path));
    return {};
}

}  // namespace

Result<void> enter_working_directory(ProgramSetup& setup) {
    const auto& path = setup.process->working_directory;
    if (::chdir(path.c_str()) < 0) {
        const int cause = errno;
        if (cause == ENOENT && setup.make_working_directory)
            TRY(with_context(make_and_enter(path), "process.cwd"));
        else if (cause != EACCES)  // the user itself may be allowed: tried again as the user
            return fail_errno(cause, "process.cwd: enter " + quote(path));
        else
            setup.cwd_as_user = true;
    }
    return verify_working_directory();
}

Result<void> enter_working_directory_as_user(ProgramSetup& setup) {
    if (!setup.cwd_as_user) return {};
    const auto& path = setup.process->working_directory;
    if (::chdir(path.c_str()) < 0) return fail_errno(errno, "process.cwd: enter " + quote(path));
    return verify_working_directory();
}

namespace {

std::string_view find_variable(const std::vector<std::string>& environment, std::string_view name) {
    for (const auto& entry : environment)
        if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
            return std::string_view(entry).substr(name.size() + 1);
    return {};
}

/// The home of `uid` in the container's /etc/passwd, read without NSS: nothing of the image runs.
std::string home_of(uid_t uid) {
    const auto root = kernel::RootedPath::open("/");
    const auto text = root ? root->read_file("/etc/passwd", 1U << 20U) : fail(root.error());
    if (!text) return "/";
    for (const auto line : split_lines(*text)) {
        const auto fields = split(line, ':');
        if (fields.size() >= 6 && parse_number<uid_t>(fields[2]) == uid && !fields[5].empty())
            return std::string(fields[5]);
    }
    return "/";
}

/// 0 if this process may execute `path`, else the errno that says why not.
int why_not_executable(const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) < 0) return errno;
    if (S_ISDIR(info.st_mode)) return EISDIR;
    if (::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) < 0) return errno;
    // CAP_DAC_OVERRIDE counts for execution only when somebody may execute.
    return (info.st_mode & 0111) != 0 ? 0 : EACCES;
}

/// In the words that engines look for: docker makes 127 and 126 of them.
tl::unexpected<Error> refuse_program(const std::string& name, int cause) {
    const auto quoted = "exec: " + quote(name) + ": ";
    if (cause == ENOENT)
        return fail(Error{.code = Errc::not_found,
                          .message = quoted + "stat " + name + ": no such file or directory"});
    if (cause == EISDIR)
        return fail(
            Error{.code = Errc::denied, .message = quoted + "is a directory: permission denied"});
    if (cause == EACCES)
        return fail(Error{.code = Errc::denied, .message = quoted + "permission denied"});
    return fail_errno(cause, "exec: " + quote(name));
}

Result<std::string> search_path(const std::string& name, std::string_view path) {
    int refused = 0;
    for (const auto folder : split(path, ':')) {
        auto candidate = (folder.empty() ? std::string(".") : std::string(folder)) + "/" + name;
        const int cause = why_not_executable(candidate);
        if (cause == 0) return candidate;
        if (cause == EACCES) refused = cause;
    }
    if (refused != 0) return refuse_program(name, refused);
    return fail(Error{.code = Errc::not_found,
                      .message = "exec: " + quote(name) + ": executable file not found in $PATH"});
}

}  // namespace

Result<void> find_program(ProgramSetup& setup) {
    const auto& process = *setup.process;
    setup.environment = process.environment;
    if (find_variable(setup.environment, "HOME").empty()) {
        std::erase_if(setup.environment, [](const auto& entry) { return entry == "HOME="; });
        setup.environment.push_back("HOME=" + home_of(process.uid));
    }
    if (process.args.empty()) return fail(Errc::invalid, "process.args: no program is given");
    const auto& name = process.args.front();
    if (name.find('/') == std::string::npos) {
        setup.program = TRY(search_path(name, find_variable(setup.environment, "PATH")));
        return {};
    }
    if (const int cause = why_not_executable(name); cause != 0) return refuse_program(name, cause);
    setup.program = name;
    return {};
}

}  // namespace hull::jail
