#include "kernel/procfs.hpp"

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.hpp"
#include "kernel/mount.hpp"
#include "kernel/rooted_walk.hpp"

namespace hull::kernel {

Result<Procfs> Procfs::create(Options options) {
    FilesystemRequest request;
    request.type = "proc";
    request.source = "proc";
    request.attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (options.only_processes) request.options.push_back({"subset", "pid"});
    auto fresh = create_mount(request);
    if (fresh) return adopt(std::move(*fresh));
    // A copy of what is at /proc, without anything mounted over its files. Only a whole one will
    // do: a copy with locked mounts below it is refused by the kernel (EINVAL).
    auto copy = clone_mount(AT_FDCWD, "/proc", {.no_follow = true});
    if (!copy) return fail(std::move(fresh).error().with_context("make a procfs of our own"));
    return with_context(adopt(std::move(*copy)), "use /proc");
}

Result<Procfs> Procfs::adopt(Fd root) {
    TRY(with_context(verify_mount(root.get(), kProcMagic), "procfs"));
    return Procfs{std::move(root)};
}

Result<Fd> Procfs::open(std::string_view path, int flags) const {
    OpenHow how;
    how.flags = flags | O_NOCTTY;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    Fd file = TRY(with_context(open_beneath(root_.get(), std::string(path), how), "procfs"));
    if (TRY(filesystem_magic(file.get())) != kProcMagic)
        return fail(Errc::corrupt, "procfs: " + quote(path) + " is not a file of a procfs");
    return file;
}

Result<std::string> Procfs::read(std::string_view path) const {
    Fd file = TRY(open(path, O_RDONLY));
    return with_context(read_all(file.get()), "procfs: read " + quote(path));
}

Result<void> Procfs::write(std::string_view path, std::string_view content) const {
    Fd file = TRY(open(path, O_WRONLY));
    ssize_t put = ::write(file.get(), content.data(), content.size());
    if (put < 0)
        return fail_errno(errno, "write " + quote(content) + " to /proc/" + std::string(path));
    if (static_cast<size_t>(put) != content.size())
        return fail(Errc::io, "write to /proc/" + std::string(path) + ": only a part was taken");
    return {};
}

Result<void> Procfs::write_sysctl(std::string_view name, std::string_view value) const {
    std::string path = TRY(sysctl_path(name));
    auto written = write("sys/" + path, value);
    if (written) return {};
    Error error = std::move(written).error();
    if (error.code == Errc::not_found)
        error.hint = "this kernel, or this namespace, has no such sysctl";
    return fail(std::move(error).with_context("set sysctl " + std::string(name)));
}

Result<std::string> sysctl_path(std::string_view name) {
    size_t first = name.find_first_of("./");
    std::string path(name);
    if (first != std::string_view::npos && name[first] == '.') {
        for (char& c : path) {
            if (c == '.') {
                c = '/';
            } else if (c == '/') {
                c = '.';
            }
        }
    }
    for (std::string_view part : split(path, '/'))
        if (part.empty() || part == "." || part == ".." || part.find('\0') != part.npos)
            return fail(Errc::invalid, "sysctl " + quote(name) + " is not a sysctl's name",
                        "write it as net.ipv4.ip_forward");
    return path;
}

}  // namespace hull::kernel
