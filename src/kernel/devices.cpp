#include "kernel/devices.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <optional>

#include "base/text.hpp"
#include "kernel/mount.hpp"
#include "kernel/rooted_path.hpp"

namespace hull::kernel {

const std::vector<DeviceNode>& default_devices() {
    static const std::vector<DeviceNode> devices = {
        {"/dev/null", 'c', 1, 3, 0666, 0, 0},    {"/dev/zero", 'c', 1, 5, 0666, 0, 0},
        {"/dev/full", 'c', 1, 7, 0666, 0, 0},    {"/dev/random", 'c', 1, 8, 0666, 0, 0},
        {"/dev/urandom", 'c', 1, 9, 0666, 0, 0}, {"/dev/tty", 'c', 5, 0, 0666, 0, 0},
    };
    return devices;
}

std::span<const DeviceLink> default_device_links() {
    static constexpr std::array kLinks = {
        DeviceLink{"fd", "/proc/self/fd"}, DeviceLink{"stdin", "/proc/self/fd/0"},
        DeviceLink{"stdout", "/proc/self/fd/1"}, DeviceLink{"stderr", "/proc/self/fd/2"},
        DeviceLink{"ptmx", "pts/ptmx"}};
    return kLinks;
}

namespace {

Result<mode_t> type_bits(const DeviceNode& node) {
    switch (node.type) {
        case 'c':
        case 'u':
            return mode_t{S_IFCHR};
        case 'b':
            return mode_t{S_IFBLK};
        case 'p':
            return mode_t{S_IFIFO};
        default:
            return fail(
                Errc::invalid,
                "device " + quote(node.path) + ": unknown type '" + std::string(1, node.type) + "'",
                "use c, u, b or p");
    }
}

/// "/dev/net/tun" -> "net/tun". The result has no "..".
Result<std::string> path_in_dev(const std::string& path) {
    std::string_view rest = path;
    bool is_below = rest.starts_with("/dev/") && rest.size() > 5;
    if (is_below) rest.remove_prefix(5);
    for (std::string_view part : split(rest, '/'))
        if (part == "..") is_below = false;
    if (!is_below)
        return fail(Errc::invalid, "device " + quote(path) + ": its path is not below /dev",
                    "devices are made on the container's own /dev only");
    return std::string(rest);
}

Result<RootedPath> open_dev(int dev_root) {
    RootedPath root = TRY(RootedPath::adopt(TRY(open_at(dev_root, ".", O_PATH | O_DIRECTORY))));
    root.set_links(Links::refuse);
    return root;
}

Result<void> make_node_at(int directory, const std::string& name, const DeviceNode& node) {
    mode_t type = TRY(type_bits(node));
    dev_t number = node.type == 'p' ? 0 : ::makedev(node.major, node.minor);
    if (::mknodat(directory, name.c_str(), type | (node.mode & 07777), number) < 0) {
        int cause = errno;
        return fail_errno(
            cause, "make device " + quote(node.path),
            cause == EPERM ? "making nodes needs CAP_MKNOD outside of user namespaces" : "");
    }
    if ((node.uid != 0 || node.gid != 0) &&
        ::fchownat(directory, name.c_str(), node.uid, node.gid, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(errno, "set the owner of device " + quote(node.path));
    return {};
}

Result<void> make_node(int dev_root, const DeviceNode& node) {
    std::string path = TRY(path_in_dev(node.path));
    size_t slash = path.rfind('/');
    if (slash == std::string::npos) return make_node_at(dev_root, path, node);
    RootedPath dev = TRY(open_dev(dev_root));
    Fd folder = TRY(dev.make_directories(path.substr(0, slash), 0755));
    return make_node_at(folder.get(), path.substr(slash + 1), node);
}

/// Modes are exact while this exists.
class NoUmask {
  public:
    NoUmask() : saved_(::umask(0)) {}
    ~NoUmask() { ::umask(saved_); }
    NoUmask(const NoUmask&) = delete;
    NoUmask& operator=(const NoUmask&) = delete;

  private:
    mode_t saved_;
};

Result<void> bind_node(const RootedPath& dev, const DeviceNode& node) {
    auto host = open_path(node.path, O_PATH | O_NOFOLLOW);
    if (!host) return fail(std::move(host).error().with_context("bind a device of the host"));
    TRY(verify_device(host->get(), node));
    std::string path = TRY(path_in_dev(node.path));
    Fd target = TRY(dev.make_mount_target(path, true));
    Fd mount = TRY(clone_mount(host->get(), ""));
    return with_context(attach_mount(mount.get(), target.get()), "bind device " + node.path);
}

}  // namespace

Result<void> make_device_nodes(int dev_root, std::span<const DeviceNode> nodes) {
    NoUmask exact_modes;
    for (const DeviceNode& node : nodes)
        TRY(make_node(dev_root, node));
    return {};
}

Result<void> make_device_links(int dev_root) {
    for (const DeviceLink& link : default_device_links()) {
        std::string path(link.path);
        if (::symlinkat(std::string(link.target).c_str(), dev_root, path.c_str()) < 0 &&
            errno != EEXIST)
            return fail_errno(errno, "make link /dev/" + path);
    }
    return {};
}

Result<void> bind_device_nodes(int dev_root, std::span<const DeviceNode> nodes) {
    RootedPath dev = TRY(open_dev(dev_root));
    for (const DeviceNode& node : nodes)
        TRY(bind_node(dev, node));
    return {};
}

Result<void> verify_device(int fd, const DeviceNode& node) {
    struct stat info{};
    if (::fstat(fd, &info) < 0) return fail_errno(errno, "look at device " + node.path);
    mode_t type = TRY(type_bits(node));
    bool same = (info.st_mode & S_IFMT) == type;
    if (same && node.type != 'p') same = info.st_rdev == ::makedev(node.major, node.minor);
    if (!same)
        return fail(Errc::corrupt,
                    quote(node.path) + " is not the device " + std::string(1, node.type) + " " +
                        std::to_string(node.major) + ":" + std::to_string(node.minor));
    return {};
}

namespace {

std::optional<DeviceNode> node_from_stat(const std::string& path, const struct stat& info) {
    if (!S_ISCHR(info.st_mode) && !S_ISBLK(info.st_mode)) return std::nullopt;
    DeviceNode node;
    node.path = path;
    node.type = S_ISCHR(info.st_mode) ? 'c' : 'b';
    node.major = ::major(info.st_rdev);
    node.minor = ::minor(info.st_rdev);
    node.mode = info.st_mode & 07777;
    node.uid = info.st_uid;
    node.gid = info.st_gid;
    return node;
}

bool is_left_out(std::string_view name) {
    static constexpr std::array<std::string_view, 9> kNames = {
        "pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "hugepages", "console"};
    for (std::string_view left_out : kNames)
        if (name == left_out) return true;
    return false;
}

Result<void> collect(const std::string& folder, int depth, std::vector<DeviceNode>& found) {
    constexpr int kMaxDepth = 16;
    if (depth > kMaxDepth) return {};
    Fd directory = TRY(open_path(folder, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    for (const DirectoryEntry& entry : TRY(list_directory_at(directory.get()))) {
        if (is_left_out(entry.name)) continue;
        struct stat info{};
        // Devices come and go: what vanished is not there.
        if (::fstatat(directory.get(), entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        std::string path = folder + "/" + entry.name;
        if (S_ISDIR(info.st_mode)) TRY(collect(path, depth + 1, found));
        if (auto node = node_from_stat(path, info)) found.push_back(std::move(*node));
    }
    return {};
}

}  // namespace

Result<DeviceNode> read_device(const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) < 0) return fail_errno(errno, "look at device " + quote(path));
    auto node = node_from_stat(path, info);
    if (!node) return fail(Errc::invalid, quote(path) + " is not a device");
    return *node;
}

Result<std::vector<DeviceNode>> list_host_devices(const std::string& folder) {
    std::vector<DeviceNode> found;
    TRY(collect(folder, 0, found));
    return found;
}

}  // namespace hull::kernel
