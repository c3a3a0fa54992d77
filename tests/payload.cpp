// payload: one static program that tests put into containers. Each verb tries or prints one thing,
// in a form that a test can read: "name value" lines on stdout; exit 0 unless the verb says
// otherwise.
//
//   payload VERB [ARGS...]        payload help

#include <dirent.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <poll.h>
#include <pty.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Arguments = std::span<char*>;

struct Verb {
    const char* name;
    const char* arguments;
    const char* what;
    int (*run)(Arguments);
};

/// "EPERM" and the like, or "ok" for 0.
const char* error_name(int error) {
    return error == 0 ? "ok" : strerrorname_np(error);
}

void print_file(const char* path) {
    FILE* file = std::fopen(path, "re");
    if (file == nullptr) {
        std::printf("%s: %s\n", path, error_name(errno));
        return;
    }
    char buffer[4096];
    size_t got = 0;
    while ((got = std::fread(buffer, 1, sizeof buffer, file)) > 0)
        std::fwrite(buffer, 1, got, stdout);
    std::fclose(file);
}

/// The lines of /proc/self/status that begin with one of `names`.
void print_status(std::initializer_list<std::string_view> names) {
    FILE* file = std::fopen("/proc/self/status", "re");
    if (file == nullptr) return;
    char line[4096];
    while (std::fgets(line, sizeof line, file) != nullptr)
        for (std::string_view name : names)
            if (std::string_view(line).starts_with(name)) std::fputs(line, stdout);
    std::fclose(file);
}

long long number(const char* text) {
    char* end = nullptr;
    errno = 0;
    long long value = std::strtoll(text, &end, 0);
    if (errno != 0 || end == text || *end != '\0') {
        std::fprintf(stderr, "payload: not a number: %s\n", text);
        std::exit(2);
    }
    return value;
}

int identity(Arguments) {
    uid_t real = 0, effective = 0, saved = 0;
    getresuid(&real, &effective, &saved);
    std::printf("uid %u %u %u\n", real, effective, saved);
    gid_t real_group = 0, effective_group = 0, saved_group = 0;
    getresgid(&real_group, &effective_group, &saved_group);
    std::printf("gid %u %u %u\ngroups", real_group, effective_group, saved_group);
    std::vector<gid_t> groups(65536);
    int count = getgroups(static_cast<int>(groups.size()), groups.data());
    for (int i = 0; i < count; ++i)
        std::printf(" %u", groups[static_cast<size_t>(i)]);
    std::printf("\nuid_map\n");
    print_file("/proc/self/uid_map");
    std::printf("gid_map\n");
    print_file("/proc/self/gid_map");
    return 0;
}

int confinement(Arguments) {
    print_status({"Cap", "NoNewPrivs", "Seccomp", "Speculation"});
    std::printf("Dumpable:\t%d\n", prctl(PR_GET_DUMPABLE));
    return 0;
}

int mounts(Arguments) {
    print_file("/proc/self/mountinfo");
    return 0;
}

int namespaces(Arguments) {
    for (const char* kind : {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}) {
        char link[64];
        std::string path = std::string("/proc/self/ns/") + kind;
        ssize_t length = readlink(path.c_str(), link, sizeof link);
        std::printf("%s %.*s\n", kind, static_cast<int>(length < 0 ? 0 : length), link);
    }
    return 0;
}

int process(Arguments) {
    char cwd[4096];
    std::printf("pid %d\nppid %d\nsession %d\n", getpid(), getppid(), getsid(0));
    std::printf("cwd %s\n", getcwd(cwd, sizeof cwd) != nullptr ? cwd : error_name(errno));
    mode_t mask = umask(0);
    std::printf("umask %04o\n", mask);
    for (char** variable = environ; *variable != nullptr; ++variable)
        std::printf("env %s\n", *variable);
    for (int limit = 0; limit < RLIMIT_NLIMITS; ++limit) {
        rlimit value{};
        if (getrlimit(static_cast<__rlimit_resource>(limit), &value) == 0)
            std::printf("rlimit %d %llu %llu\n", limit,
                        static_cast<unsigned long long>(value.rlim_cur),
                        static_cast<unsigned long long>(value.rlim_max));
    }
    return 0;
}

int descriptors(Arguments) {
    DIR* directory = opendir("/proc/self/fd");
    if (directory == nullptr) return 1;
    while (dirent* entry = readdir(directory)) {
        if (entry->d_name[0] == '.' || std::atoi(entry->d_name) == dirfd(directory)) continue;
        char target[4096];
        std::string path = std::string("/proc/self/fd/") + entry->d_name;
        ssize_t length = readlink(path.c_str(), target, sizeof target);
        std::printf("%s %.*s\n", entry->d_name, static_cast<int>(length < 0 ? 0 : length), target);
    }
    closedir(directory);
    return 0;
}

/// Runs system call `number` with six equal arguments in a child, so that nothing it does stays.
std::string probe(long number, long argument) {
    int pipe_ends[2];
    if (pipe2(pipe_ends, O_CLOEXEC) != 0) return error_name(errno);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none{};
        setrlimit(RLIMIT_CORE, &none);
        alarm(2);
        long result = syscall(number, argument, argument, argument, argument, argument, argument);
        int error = result == -1 ? errno : 0;
        if (write(pipe_ends[1], &error, sizeof error) < 0) _exit(1);
        _exit(0);
    }
    close(pipe_ends[1]);
    int error = 0;
    pollfd waiting{pipe_ends[0], POLLIN, 0};
    poll(&waiting, 1, 3000);
    ssize_t got = (waiting.revents & POLLIN) != 0 ? read(pipe_ends[0], &error, sizeof error) : 0;
    close(pipe_ends[0]);
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    if (got == sizeof error) return error_name(error);
    if (WIFSIGNALED(status)) return std::string("signal ") + sigabbrev_np(WTERMSIG(status));
    return "ended";
}

int one_syscall(Arguments arguments) {
    if (arguments.empty()) return 2;
    long values[6] = {};
    for (size_t i = 1; i < arguments.size() && i <= 6; ++i)
        values[i - 1] = static_cast<long>(number(arguments[i]));
    errno = 0;
    long result = syscall(static_cast<long>(number(arguments[0])), values[0], values[1], values[2],
                          values[3], values[4], values[5]);
    std::printf("%s\n", error_name(result == -1 ? errno : 0));
    return 0;
}

/// The same through the gate of 32-bit programs (int 0x80), which a 64-bit one can use as well.
int one_syscall_32([[maybe_unused]] Arguments arguments) {
#ifdef __x86_64__
    long words[5] = {};
    for (size_t i = 0; i < 5 && i < arguments.size(); ++i)
        words[i] = number(arguments[i]);
    long result = words[0];
    __asm__ volatile("int $0x80"
                     : "+a"(result)
                     : "b"(words[1]), "c"(words[2]), "d"(words[3]), "S"(words[4])
                     : "memory", "r8", "r9", "r10", "r11");
    std::printf("%s\n",
                static_cast<int>(result) < 0 ? error_name(-static_cast<int>(result)) : "ok");
#else
    std::printf("ENOSYS\n");
#endif
    return 0;
}

int all_syscalls(Arguments) {
    // Numbers whose effect no argument prevents: vhangup(2) hangs up the caller's terminal.
    constexpr long kVhangup = 153;
    for (long call = 0; call <= 471; ++call)
        if (call != kVhangup) std::printf("%ld %s\n", call, probe(call, -1).c_str());
    return 0;
}

/// Forks children that wait until it has counted them; says how many there were and what stopped
/// it.
int fork_many(Arguments arguments) {
    long wanted = arguments.empty() ? 1000 : static_cast<long>(number(arguments[0]));
    std::vector<pid_t> children;
    int error = 0;
    while (static_cast<long>(children.size()) < wanted) {
        pid_t child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        if (child < 0) {
            error = errno;
            break;
        }
        children.push_back(child);
    }
    std::printf("forked %zu %s\n", children.size(), error_name(error));
    for (pid_t child : children)
        kill(child, SIGKILL);
    for (pid_t child : children)
        waitpid(child, nullptr, 0);
    return 0;
}

/// Takes memory, touches every page of it, and keeps it until stdin ends.
int hold_memory(Arguments arguments) {
    if (arguments.empty()) return 2;
    auto size = static_cast<size_t>(number(arguments[0]));
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        std::printf("mmap %s\n", error_name(errno));
        return 1;
    }
    std::memset(memory, 1, size);
    std::printf("held %zu\n", size);
    std::fflush(stdout);
    char byte = 0;
    while (read(0, &byte, 1) > 0) {
    }
    return 0;
}

int open_many(Arguments arguments) {
    long wanted = arguments.empty() ? 100000 : static_cast<long>(number(arguments[0]));
    long opened = 0;
    while (opened < wanted && open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0)
        ++opened;
    std::printf("opened %ld %s\n", opened, opened < wanted ? error_name(errno) : "ok");
    return 0;
}

void find_writable(const std::string& path, int depth) {
    struct stat info{};
    if (depth > 24 || lstat(path.c_str(), &info) != 0) return;
    if (S_ISREG(info.st_mode)) {
        int file = open(path.c_str(), O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (file >= 0) {
            std::printf("%s\n", path.c_str());
            close(file);
        }
        return;
    }
    if (!S_ISDIR(info.st_mode)) return;
    DIR* directory = opendir(path.c_str());
    if (directory == nullptr) return;
    while (dirent* entry = readdir(directory)) {
        std::string_view name = entry->d_name;
        if (name != "." && name != "..") find_writable(path + "/" + entry->d_name, depth + 1);
    }
    closedir(directory);
}

/// Every regular file below the paths that can be opened for writing.
int writable(Arguments paths) {
    for (char* path : paths)
        find_writable(path, 0);
    return 0;
}

/// Tries to open each path; says what came of it: "PATH r=ok w=EACCES".
int open_paths(Arguments paths) {
    for (char* path : paths) {
        int reading = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        int read_error = reading < 0 ? errno : 0;
        int writing = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
        int write_error = writing < 0 ? errno : 0;
        std::printf("%s r=%s w=%s\n", path, error_name(read_error), error_name(write_error));
        if (reading >= 0) close(reading);
        if (writing >= 0) close(writing);
    }
    return 0;
}

/// Prints "ready", then the name of each signal that comes; SIGTERM and SIGINT end it with 0.
int signals(Arguments) {
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, nullptr);
    std::printf("ready\n");
    std::fflush(stdout);
    for (;;) {
        int signal = 0;
        sigwait(&all, &signal);
        std::printf("%s\n", sigabbrev_np(signal));
        std::fflush(stdout);
        if (signal == SIGTERM || signal == SIGINT) return 0;
    }
}

/// Ignores SIGTERM and SIGINT and waits: only SIGKILL ends it.
int stubborn(Arguments) {
    std::signal(SIGTERM, SIG_IGN);
    std::signal(SIGINT, SIG_IGN);
    std::printf("ready\n");
    std::fflush(stdout);
    for (;;)
        pause();
}

int terminal(Arguments) {
    for (int fd = 0; fd < 3; ++fd)
        std::printf("tty %d %s\n", fd, isatty(fd) ? ttyname(fd) : "no");
    winsize size{};
    if (ioctl(0, TIOCGWINSZ, &size) == 0) std::printf("size %dx%d\n", size.ws_col, size.ws_row);
    char byte = 'x';
    std::printf("tiocsti %s\n", error_name(ioctl(0, TIOCSTI, &byte) == 0 ? 0 : errno));
    return 0;
}

/// Adds a key to the session keyring, or looks for one; "with" runs a program in a new session
/// keyring that has the key.
int key(Arguments arguments) {
    if (arguments.size() < 2) return 2;
    std::string_view action = arguments[0];
    if (action == "with") {
        if (arguments.size() < 3 || syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0 ||
            syscall(SYS_add_key, "user", arguments[1], "secret", 6, KEY_SPEC_SESSION_KEYRING) < 0)
            return 2;
        execv(arguments[2], &arguments[2]);
        return 127;
    }
    long result = action == "add" ? syscall(SYS_add_key, "user", arguments[1], "secret", 6,
                                            KEY_SPEC_SESSION_KEYRING)
                                  : syscall(SYS_request_key, "user", arguments[1], nullptr, 0);
    std::printf("%s %s\n", arguments[0], error_name(result < 0 ? errno : 0));
    return 0;
}

/// Leaves children that end later to PID 1 and says how many zombies /proc then shows.
int orphans(Arguments arguments) {
    long wanted = arguments.empty() ? 10 : static_cast<long>(number(arguments[0]));
    int gate[2];
    if (pipe(gate) != 0) return 1;
    for (long i = 0; i < wanted; ++i) {
        pid_t middle = fork();
        if (middle == 0) {
            if (fork() == 0) {
                close(gate[1]);
                char byte = 0;
                while (read(gate[0], &byte, 1) > 0) {
                }
                _exit(0);
            }
            _exit(0);
        }
        waitpid(middle, nullptr, 0);
    }
    close(gate[1]);
    std::printf("orphans %ld\n", wanted);
    return 0;
}

/// Writes until the file system is full: "wrote BYTES ENOSPC".
int fill(Arguments arguments) {
    if (arguments.size() != 2) return 2;
    int file = open(arguments[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0) {
        std::printf("open %s\n", error_name(errno));
        return 0;
    }
    long long limit = number(arguments[1]), written = 0;
    std::vector<char> block(65536, 'x');
    int error = 0;
    while (written < limit) {
        ssize_t done = write(file, block.data(), block.size());
        if (done < 0) {
            error = errno;
            break;
        }
        written += done;
    }
    std::printf("wrote %lld %s\n", written, error_name(error));
    close(file);
    unlink(arguments[0]);
    return 0;
}

/// Exchanges two paths until it is killed: for races between a check and a use.
int swap_paths(Arguments arguments) {
    if (arguments.size() != 2) return 2;
    for (;;)
        if (renameat2(AT_FDCWD, arguments[0], AT_FDCWD, arguments[1], RENAME_EXCHANGE) != 0)
            return 1;
}

/// CVE-2019-5736: keeps the executable of process PID, ends the process, and writes to it.
int overwrite_program(Arguments arguments) {
    if (arguments.size() != 1) return 2;
    auto pid = static_cast<pid_t>(number(arguments[0]));
    std::string path = std::string("/proc/") + arguments[0] + "/exe";
    int program = open(path.c_str(), O_PATH | O_CLOEXEC);
    std::printf("open %s\n", error_name(program < 0 ? errno : 0));
    if (program < 0) return 0;
    std::string again = "/proc/self/fd/" + std::to_string(program);
    int writable = -1;
    int error = 0;
    kill(pid, SIGKILL);
    // Busy until the process, and whoever else runs this program, is gone.
    for (int tries = 0; tries < 2000 && writable < 0; ++tries) {
        writable = open(again.c_str(), O_WRONLY | O_CLOEXEC);
        error = errno;
        if (writable < 0 && error != ETXTBSY) break;
        usleep(1000);
    }
    std::printf("write %s\n", error_name(writable < 0 ? error : 0));
    if (writable >= 0 && write(writable, "overwritten", 11) == 11) std::printf("overwritten\n");
    return 0;
}

/// Looks at every process that appears, until stdin ends, for what a process that is on its way
/// into the container must not show: its program, its root, its descriptors.
int watch_processes(Arguments arguments) {
    if (arguments.size() != 1) return 2;
    std::string marker = arguments[0];  // a path that only the host has
    std::printf("ready\n");
    std::fflush(stdout);
    long looked = 0;
    for (;;) {
        pollfd input{0, POLLIN, 0};
        if (poll(&input, 1, 0) > 0) break;
        DIR* proc = opendir("/proc");
        if (proc == nullptr) return 1;
        while (dirent* entry = readdir(proc)) {
            int pid = std::atoi(entry->d_name);
            if (pid <= 1 || pid == getpid()) continue;
            ++looked;
            std::string base = std::string("/proc/") + entry->d_name;
            char target[4096];
            ssize_t length = readlink((base + "/exe").c_str(), target, sizeof target - 1);
            std::string program(target, length > 0 ? static_cast<size_t>(length) : 0);
            if (program.find("hull-runtime") != std::string::npos)
                std::printf("program %s\n", program.c_str());
            if (access((base + "/root" + marker).c_str(), F_OK) == 0) std::printf("root\n");
            std::string fds = base + "/fd";
            DIR* descriptors = opendir(fds.c_str());
            if (descriptors == nullptr) continue;
            while (dirent* fd = readdir(descriptors)) {
                if (access((fds + "/" + fd->d_name + marker).c_str(), F_OK) == 0 ||
                    access((fds + "/" + fd->d_name + "/../../../../.." + marker).c_str(), F_OK) ==
                        0)
                    std::printf("descriptor %s\n", fd->d_name);
            }
            closedir(descriptors);
        }
        closedir(proc);
    }
    std::printf("looked %ld\n", looked);
    return 0;
}

int end(Arguments arguments) {
    return arguments.empty() ? 0 : static_cast<int>(number(arguments[0]));
}

int help(Arguments);

constexpr Verb kVerbs[] = {
    {"identity", "", "user, groups and id maps", identity},
    {"confinement", "", "capability sets, no_new_privs, seccomp mode, dumpable", confinement},
    {"mounts", "", "mountinfo", mounts},
    {"namespaces", "", "the inode of each namespace", namespaces},
    {"process", "", "pid, session, cwd, umask, environment, limits", process},
    {"descriptors", "", "open descriptors and what they are", descriptors},
    {"syscall", "NUMBER [ARG...]", "makes one system call and prints the errno's name",
     one_syscall},
    {"syscall32", "NUMBER [ARG...]", "the same through int 0x80", one_syscall_32},
    {"syscalls", "", "tries every number from 0 to 471, each in a child, all arguments -1",
     all_syscalls},
    {"fork-many", "[COUNT]", "forks until refused", fork_many},
    {"hold-memory", "BYTES", "touches memory and keeps it until stdin ends", hold_memory},
    {"open-many", "[COUNT]", "opens files until refused", open_many},
    {"writable", "PATH...", "files below PATH that open for writing", writable},
    {"open", "PATH...", "what opening for reading and for writing gives", open_paths},
    {"signals", "", "prints each signal's name; TERM and INT end it", signals},
    {"stubborn", "", "ignores TERM and INT", stubborn},
    {"terminal", "", "what stdin, stdout and stderr are, the window size, TIOCSTI", terminal},
    {"key", "add|find|with NAME", "a key in the session keyring", key},
    {"orphans", "[COUNT]", "leaves children to PID 1", orphans},
    {"fill", "FILE LIMIT", "writes until full or LIMIT bytes", fill},
    {"swap", "PATH PATH", "exchanges two paths until killed", swap_paths},
    {"overwrite", "PID", "writes to the program of a process that it ends", overwrite_program},
    {"watch", "MARKER", "looks into every process that appears", watch_processes},
    {"exit", "[CODE]", "exits", end},
    {"help", "", "this list", help},
};

int help(Arguments) {
    for (const Verb& verb : kVerbs)
        std::printf("%-12s %-18s %s\n", verb.name, verb.arguments, verb.what);
    return 0;
}

}  // namespace

int main(int count, char** values) {
    Arguments arguments(values, static_cast<size_t>(count));
    std::string_view wanted = count > 1 ? arguments[1] : "help";
    for (const Verb& verb : kVerbs)
        if (wanted == verb.name) return verb.run(arguments.subspan(count > 1 ? 2 : 1));
    std::fprintf(stderr, "payload: no verb %s; see payload help\n", arguments[1]);
    return 2;
}
