// floor: the cheapest container of Docker's shape that this kernel can make. It has no
// configuration, checks nothing and explains nothing; what it takes is what the kernel takes, and
// the runtimes are measured against it. One process makes one container and ends, as a runtime
// does.
//
//   floor [-C] [-M] [-S FILTER] [-p] ROOTFS PROGRAM [ARGS...]
//     -C         a cgroup in every hierarchy, joined, mounted inside, removed afterwards
//     -M         masked and read-only paths, as Docker has them
//     -S FILTER  load the seccomp program of this file (an array of struct sock_filter)
//     -p         print what each phase took, in microseconds, to stderr

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>
#include <string>

namespace {

constexpr size_t kMaxPhases = 32;
constexpr unsigned long kKeptCapabilities =
    1UL << CAP_AUDIT_WRITE | 1UL << CAP_KILL | 1UL << CAP_NET_BIND_SERVICE;

/// Lies in memory shared by parent and child, so that both add phases to one list.
struct Phases {
    size_t count;
    struct {
        const char* name;
        uint64_t nanoseconds;
    } at[kMaxPhases];
};

struct Options {
    bool cgroup = false;
    bool mask = false;
    bool print_phases = false;
    sock_fprog filter{};
    const char* root = nullptr;
    char** command = nullptr;
};

struct Hierarchy {
    std::string name;       // "memory", "" for cgroup v2
    std::string directory;  // of the container's own cgroup
    int tasks = -1;         // v1: the child writes 0 to it
};

Phases* phases = nullptr;

uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1000000000U + static_cast<uint64_t>(time.tv_nsec);
}

void finished(const char* name) {
    phases->at[phases->count++] = {name, now()};
}

void must(long result, const char* what) {
    if (result >= 0) return;
    std::fprintf(stderr, "floor: %s: %s\n", what, std::strerror(errno));
    _exit(111);
}

void mount_new(const char* type, const char* target, unsigned long flags, const char* data) {
    must(mount(type, target, type, flags, data), target);
}

// --- cgroups
// --------------------------------------------------------------------------------------

constexpr std::array kV1Controllers{"cpu",     "cpuacct", "cpuset", "memory", "devices",
                                    "freezer", "blkio",   "pids",   "systemd"};
std::array<Hierarchy, kV1Controllers.size()> hierarchies;
size_t hierarchy_count = 0;
int v2_directory = -1;

void write_file(const std::string& path, const char* text) {
    int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    must(file, path.c_str());
    must(write(file, text, std::strlen(text)), path.c_str());
    close(file);
}

void copy_from_parent(const std::string& directory, const char* file) {
    std::string parent = directory.substr(0, directory.rfind('/')) + "/" + file;
    char text[256] = {};
    int from = open(parent.c_str(), O_RDONLY | O_CLOEXEC);
    must(from, parent.c_str());
    must(read(from, text, sizeof text - 1), parent.c_str());
    close(from);
    write_file(directory + "/" + file, text);
}

void make_cgroups() {
    const std::string name = "hull-floor-" + std::to_string(getpid());
    if (access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0) {
        hierarchies[0].directory = "/sys/fs/cgroup/" + name;
        must(mkdir(hierarchies[0].directory.c_str(), 0755), "mkdir cgroup");
        v2_directory = open(hierarchies[0].directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        must(v2_directory, "open cgroup");
        hierarchy_count = 1;
        return;
    }
    for (const char* controller : kV1Controllers) {
        Hierarchy& hierarchy = hierarchies[hierarchy_count++];
        hierarchy.name = controller;
        hierarchy.directory = std::string("/sys/fs/cgroup/") + controller + "/" + name;
        must(mkdir(hierarchy.directory.c_str(), 0755), hierarchy.directory.c_str());
        if (hierarchy.name == "cpuset") {
            copy_from_parent(hierarchy.directory, "cpuset.cpus");
            copy_from_parent(hierarchy.directory, "cpuset.mems");
        }
        hierarchy.tasks = open((hierarchy.directory + "/tasks").c_str(), O_WRONLY | O_CLOEXEC);
        must(hierarchy.tasks, "open tasks");
    }
}

/// v1: a process with one thread that writes 0 to `tasks` takes no kernel-wide lock, unlike
/// cgroup.procs.
void join_cgroups() {
    for (size_t i = 0; i < hierarchy_count; ++i)
        if (hierarchies[i].tasks >= 0) must(write(hierarchies[i].tasks, "0", 1), "write tasks");
    must(unshare(CLONE_NEWCGROUP), "unshare cgroup namespace");
}

void remove_cgroups() {
    for (size_t i = 0; i < hierarchy_count; ++i)
        must(rmdir(hierarchies[i].directory.c_str()), "rmdir cgroup");
}

void mount_cgroups() {
    constexpr unsigned long kSafe = MS_NOSUID | MS_NOEXEC | MS_NODEV;
    if (v2_directory >= 0) {
        mount_new("cgroup2", "sys/fs/cgroup", kSafe | MS_RDONLY, nullptr);
        return;
    }
    mount_new("tmpfs", "sys/fs/cgroup", kSafe, "mode=755");
    for (size_t i = 0; i < hierarchy_count; ++i) {
        std::string target = "sys/fs/cgroup/" + hierarchies[i].name;
        must(mkdir(target.c_str(), 0755), target.c_str());
        must(mount(hierarchies[i].directory.c_str(), target.c_str(), nullptr, MS_BIND, nullptr),
             "bind cgroup");
        must(mount(nullptr, target.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY | kSafe,
                   nullptr),
             "cgroup read-only");
    }
}

// --- the child, step by step
// ----------------------------------------------------------------------

void enter_root(const char* root) {
    must(mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr), "make / a slave");
    must(mount(root, root, nullptr, MS_BIND | MS_REC, nullptr), "bind the root");
    must(chdir(root), "chdir to the root");
    finished("bind root");
    mount_new("proc", "proc", 0, nullptr);
    finished("proc");
}

void make_devices() {
    struct Node {
        const char* path;
        unsigned major, minor;
    };
    static constexpr Node kNodes[] = {{"dev/null", 1, 3},    {"dev/zero", 1, 5},
                                      {"dev/full", 1, 7},    {"dev/random", 1, 8},
                                      {"dev/urandom", 1, 9}, {"dev/tty", 5, 0}};
    static constexpr const char* kLinks[][2] = {{"/proc/self/fd", "dev/fd"},
                                                {"/proc/self/fd/0", "dev/stdin"},
                                                {"/proc/self/fd/1", "dev/stdout"},
                                                {"/proc/self/fd/2", "dev/stderr"},
                                                {"pts/ptmx", "dev/ptmx"}};
    mount_new("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    umask(0);
    for (const Node& node : kNodes)
        must(mknod(node.path, S_IFCHR | 0666, makedev(node.major, node.minor)), node.path);
    for (const auto& link : kLinks)
        must(symlink(link[0], link[1]), link[1]);
    for (const char* directory : {"dev/pts", "dev/shm", "dev/mqueue"})
        must(mkdir(directory, 0755), directory);
    umask(022);
    finished("/dev");
    mount_new("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
    mount_new("tmpfs", "dev/shm", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k");
    mount_new("mqueue", "dev/mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, nullptr);
    finished("pts, shm, mqueue");
}

void pivot() {
    must(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(umount2(".", MNT_DETACH), "umount the old root");
    must(chdir("/"), "chdir /");
    finished("pivot");
}

void hide_paths() {
    for (const char* path : {"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
                             "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
                             "/proc/sched_debug", "/sys/firmware", "/proc/scsi"})
        if (mount("/dev/null", path, nullptr, MS_BIND, nullptr) != 0 && errno == ENOTDIR)
            mount_new("tmpfs", path, MS_RDONLY, "size=0k");
    finished("mask");
    for (const char* path :
         {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"})
        if (mount(path, path, nullptr, MS_BIND | MS_REC, nullptr) == 0)
            must(mount(nullptr, path, nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), path);
    finished("read-only");
}

void drop_privileges(const sock_fprog& filter) {
    for (int capability = 0; capability <= CAP_LAST_CAP; ++capability)
        if ((kKeptCapabilities >> capability & 1U) == 0)
            prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    auto low = static_cast<__u32>(kKeptCapabilities);
    auto high = static_cast<__u32>(kKeptCapabilities >> 32U);
    __user_cap_data_struct sets[2] = {{low, low, low}, {high, high, high}};
    must(syscall(SYS_capset, &header, sets), "capset");
    finished("capabilities");
    if (filter.len == 0) return;
    must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter), "seccomp");
    finished("seccomp");
}

[[noreturn]] void be_the_container(const Options& options) {
    finished("clone");
    if (options.cgroup) {
        join_cgroups();
        finished("join cgroups");
    }
    enter_root(options.root);
    make_devices();
    mount_new("sysfs", "sys", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, nullptr);
    finished("sysfs");
    if (options.cgroup) {
        mount_cgroups();
        finished("mount cgroups");
    }
    pivot();
    if (options.mask) hide_paths();
    must(sethostname("floor", 5), "sethostname");
    drop_privileges(options.filter);
    execv(options.command[0], options.command);
    must(-1, options.command[0]);
    std::abort();
}

// --- the parent
// -----------------------------------------------------------------------------------

sock_fprog load_filter(const char* path) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    must(file, path);
    struct stat info{};
    must(fstat(file, &info), path);
    auto size = static_cast<size_t>(info.st_size);
    void* bytes = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED) must(-1, path);
    close(file);
    return {static_cast<unsigned short>(size / sizeof(sock_filter)),
            static_cast<sock_filter*>(bytes)};
}

Options parse(int count, char** values) {
    Options options;
    for (int option = 0; (option = getopt(count, values, "+CMS:p")) != -1;)
        switch (option) {
            case 'C':
                options.cgroup = true;
                break;
            case 'M':
                options.mask = true;
                break;
            case 'S':
                options.filter = load_filter(optarg);
                break;
            case 'p':
                options.print_phases = true;
                break;
            default:
                std::exit(2);
        }
    if (count - optind < 2) {
        std::fprintf(stderr, "usage: floor [-C] [-M] [-S FILTER] [-p] ROOTFS PROGRAM [ARGS...]\n");
        std::exit(2);
    }
    options.root = values[optind];
    options.command = values + optind + 1;
    return options;
}

void print_phases(uint64_t start) {
    for (size_t i = 0; i < phases->count; ++i) {
        uint64_t before = i == 0 ? start : phases->at[i - 1].nanoseconds;
        std::fprintf(stderr, "%-18s %8.1f\n", phases->at[i].name,
                     static_cast<double>(phases->at[i].nanoseconds - before) / 1000);
    }
    uint64_t last = phases->at[phases->count - 1].nanoseconds;
    std::fprintf(stderr, "%-18s %8.1f\n", "total", static_cast<double>(last - start) / 1000);
}

}  // namespace

int main(int count, char** values) {
    Options options = parse(count, values);
    void* shared =
        mmap(nullptr, sizeof(Phases), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) must(-1, "mmap");
    phases = static_cast<Phases*>(shared);
    uint64_t start = now();
    if (options.cgroup) {
        make_cgroups();
        finished("make cgroups");
    }
    clone_args request{};
    request.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;
    request.exit_signal = SIGCHLD;
    if (v2_directory >= 0) {
        request.flags |= CLONE_INTO_CGROUP;
        request.cgroup = static_cast<__u64>(v2_directory);
    }
    long child = syscall(SYS_clone3, &request, sizeof request);
    must(child, "clone3");
    if (child == 0) be_the_container(options);
    int status = 0;
    must(waitpid(static_cast<pid_t>(child), &status, 0), "waitpid");
    finished("run and wait");
    if (options.cgroup) {
        remove_cgroups();
        finished("remove cgroups");
    }
    if (options.print_phases) print_phases(start);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
