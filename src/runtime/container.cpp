#include "runtime/container.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/kernel_file.hpp"

namespace hull::runtime {

std::string_view status_name(Status status) {
    switch (status) {
        case Status::creating:
            return "creating";
        case Status::created:
            return "created";
        case Status::running:
            return "running";
        case Status::paused:
            return "paused";
        case Status::stopped:
            return "stopped";
    }
    return "stopped";
}

Result<void> check_container_id(std::string_view id) {
    auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '+' || c == '-' || c == '.';
    };
    bool good = !id.empty() && id.size() <= 255 && id != "." && id != ".." &&
                id != kSeccompCacheFolder && std::all_of(id.begin(), id.end(), allowed);
    if (!good)
        return fail(Errc::invalid, "container id " + quote(id) + " is not valid",
                    "use letters, digits, '_', '+', '-' and '.', at most 255");
    return {};
}

Result<std::string> read_boot_id() {
    static std::string boot_id;
    if (boot_id.empty())
        boot_id = trim(TRY(kernel::read_kernel_file("/proc/sys/kernel/random/boot_id")));
    return boot_id;
}

std::string Container::file(std::string_view name) const {
    return join_path(directory_, name);
}

namespace {

struct flock whole_file(short type) {
    struct flock lock{};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return lock;
}

tl::unexpected<Error> does_not_exist(const std::string& id) {
    return fail(Errc::not_found, "container " + quote(id) + " does not exist",
                "`hull-runtime list` shows those that do; --root must be that of its creation");
}

}  // namespace

Result<Container> Container::create(const std::string& root, const std::string& id) {
    TRY(check_container_id(id));
    std::string directory = join_path(root, id);
    int made = ::mkdir(directory.c_str(), 0700);
    if (made < 0 && errno == ENOENT) {
        TRY(create_directories(root, 0711));
        made = ::mkdir(directory.c_str(), 0700);
    }
    if (made < 0) {
        if (errno == EEXIST)
            return fail(Errc::exists, "container with given ID already exists: " + id,
                        "choose another id, or `hull-runtime delete " + id + "`");
        return fail_errno(errno, "create container folder " + directory);
    }
    auto lock_file = open_path(join_path(directory, "lock"), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (!lock_file) {
        ::rmdir(directory.c_str());
        return fail(std::move(lock_file).error());
    }
    Container container{directory, std::move(*lock_file)};
    container.state.id = id;
    auto locked = container.try_lock();
    if (!locked || !*locked) {
        // Only a `delete` of the folder that it found before the lock was taken.
        return locked ? fail(Errc::conflict, "container " + quote(id) + " is being deleted",
                             "try again")
                      : fail(std::move(locked).error());
    }
    return container;
}

Result<Container> Container::open_folder(const std::string& directory, const std::string& id) {
    auto lock_file = open_path(join_path(directory, "lock"), O_RDWR);
    if (!lock_file) {
        if (lock_file.error().code == Errc::not_found && !path_exists(directory))
            return does_not_exist(id);
        if (lock_file.error().code != Errc::not_found) return fail(std::move(lock_file).error());
        // Its creator was killed between the folder and the lock.
        lock_file = open_path(join_path(directory, "lock"), O_RDWR | O_CREAT, 0600);
        if (!lock_file) return fail(std::move(lock_file).error());
    }
    Container container{directory, std::move(*lock_file)};
    container.state.id = id;
    return container;
}

Result<Container> Container::open(const std::string& root, const std::string& id) {
    TRY(check_container_id(id));
    Container container = TRY(open_folder(join_path(root, id), id));
    TRY(container.load());
    return container;
}

Result<void> Container::load() {
    auto text = read_file(file("state.json"));
    if (!text && text.error().code == Errc::not_found) {
        if (!path_exists(directory_)) return does_not_exist(state.id);
        return {};  // its creator has not come that far, or was killed there
    }
    if (!text) return fail(std::move(text).error());
    state = TRY(parse_state(*text, file("state.json")));
    return {};
}

Result<void> Container::lock() {
    TRY(relock());
    return load();
}

Result<void> Container::relock() {
    struct flock lock = whole_file(F_WRLCK);
    while (::fcntl(lock_.get(), F_SETLKW, &lock) < 0)
        if (errno != EINTR) return fail_errno(errno, "lock " + file("lock"));
    struct stat info{};
    if (::fstat(lock_.get(), &info) == 0 && info.st_nlink == 0) return does_not_exist(state.id);
    return {};
}

void Container::unlock() {
    struct flock lock = whole_file(F_UNLCK);
    (void)::fcntl(lock_.get(), F_SETLK, &lock);
}

Result<bool> Container::try_lock() {
    struct flock lock = whole_file(F_WRLCK);
    if (::fcntl(lock_.get(), F_SETLK, &lock) == 0) return true;
    if (errno == EAGAIN || errno == EACCES) return false;
    return fail_errno(errno, "lock " + file("lock"));
}

std::optional<pid_t> Container::lock_holder() const {
    struct flock lock = whole_file(F_WRLCK);
    if (::fcntl(lock_.get(), F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK) return std::nullopt;
    return lock.l_pid;
}

namespace {

/// Replaces `name` in one step. The lock is held, so that one name for the new file is enough.
Result<void> replace_file(const std::string& path, std::string_view content) {
    std::string fresh = path + ".new";
    Fd file = TRY(open_path(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    TRY(with_context(write_all(file.get(), content), "write " + fresh));
    if (::rename(fresh.c_str(), path.c_str()) < 0)
        return fail_errno(errno, "rename " + fresh + " to " + path);
    return {};
}

}  // namespace

Result<void> Container::save() const {
    return replace_file(file("state.json"), format_state(state));
}

Result<void> Container::save_config(std::string_view text) const {
    // Nobody reads it before there is a process.
    Fd file = TRY(open_path(config_path(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    return with_context(write_all(file.get(), text), "write " + config_path());
}

bool Container::waits_for_start() const {
    // A fifo that nobody reads cannot be opened for writing: ENXIO, fifo(7).
    int fd = ::open(fifo_path().c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return false;
    ::close(fd);
    return true;
}

Result<Fd> Container::open_process() const {
    auto gone = [&] {
        return fail(Errc::not_found, "container not running: " + state.id + ": no such process");
    };
    if (state.process.pid <= 0) return gone();
    if (TRY(read_boot_id()) != state.boot_id) return gone();
    auto pidfd = kernel::open_process(state.process);
    if (!pidfd && pidfd.error().code == Errc::not_found) return gone();
    return pidfd;
}

Result<kernel::Cgroup> Container::open_cgroup(kernel::CgroupUse use) const {
    return kernel::Cgroup::open(state.cgroups, use);
}

namespace {

/// Only the hierarchies that can be frozen: to ask for that, the others need not be opened.
kernel::CgroupPaths freezer_paths(const kernel::CgroupPaths& all) {
    kernel::CgroupPaths paths{.v1 = {}, .v2 = all.v2};
    for (const auto& [name, path] : all.v1)
        if (name == "freezer") paths.v1.emplace_back(name, path);
    return paths;
}

bool is_frozen(const kernel::CgroupPaths& paths) {
    auto freezer = freezer_paths(paths);
    if (freezer.empty()) return false;
    auto cgroup = kernel::Cgroup::open(freezer);
    if (!cgroup) return false;
    auto frozen = cgroup->is_frozen();
    return frozen && *frozen;
}

}  // namespace

Result<Status> Container::status() const {
    auto process = open_process();
    if (!process && process.error().code != Errc::not_found)
        return fail(std::move(process).error());
    // Before the fifo's reader is there, only the creator's lock tells that it goes on.
    bool waits = process && waits_for_start();
    if (!waits && path_exists(fifo_path()) && lock_holder()) return Status::creating;
    if (!process)
        return lock_holder() && state.process.pid == 0 ? Status::creating : Status::stopped;
    if (is_frozen(state.cgroups)) return Status::paused;
    return waits ? Status::created : Status::running;
}

Result<void> Container::remove_directory() {
    // The usual content without looking; the lock last.
    for (const char* name : {"config.json", "exec.fifo", "state.json"})
        if (::unlink(file(name).c_str()) < 0 && errno != ENOENT)
            return fail_errno(errno, "remove " + file(name));
    if (::unlink(file("lock").c_str()) < 0 && errno != ENOENT)
        return fail_errno(errno, "remove " + file("lock"));
    if (::rmdir(directory_.c_str()) == 0 || errno == ENOENT) return {};
    if (errno != ENOTEMPTY) return fail_errno(errno, "remove container folder " + directory_);
    return remove_tree(directory_);
}

Result<std::vector<std::string>> list_containers(const std::string& root) {
    auto names = list_directory(root);
    if (!names && names.error().code == Errc::not_found) return std::vector<std::string>{};
    if (!names) return names;
    std::erase_if(*names, [&](const std::string& name) {
        struct stat info{};
        return name == kSeccompCacheFolder || ::lstat(join_path(root, name).c_str(), &info) < 0 ||
               !S_ISDIR(info.st_mode);
    });
    return names;
}

}  // namespace hull::runtime
