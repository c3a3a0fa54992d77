#include "kernel/cgroup_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/text.hpp"

namespace hull::kernel {
namespace {

std::string controller_of(const std::string& file) {
    return file.substr(0, file.find('.'));
}

tl::unexpected<Error> write_failed(int code, const std::string& file, std::string_view value) {
    std::string message = fmt::format("write {} to cgroup file {}", quote(value), file);
    switch (code) {
        case ENOENT: {
            Error error =
                errno_error(code, std::move(message),
                            fmt::format("the {} controller of this machine or kernel does "
                                        "not have it; leave this limit out",
                                        controller_of(file)));
            error.code = Errc::unsupported;
            return fail(std::move(error));
        }
        case EACCES:
        case EPERM:
        case EROFS: {
            Error error = errno_error(code, std::move(message),
                                      "the cgroup must be this user's own: run as root, or have "
                                      "systemd delegate the controller");
            error.code = Errc::denied;
            return fail(std::move(error));
        }
        case EINVAL:
        case ERANGE: {
            Error error =
                errno_error(code, std::move(message), "the kernel does not take this value here");
            error.code = Errc::invalid;
            return fail(std::move(error));
        }
        case ENODEV:
            return fail_errno(code, std::move(message), "there is no such device");
        default:
            return fail_errno(code, std::move(message));
    }
}

/// 0 or an errno.
int write_once(int directory, const std::string& file, std::string_view value) {
    Fd fd(openat(directory, file.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return errno;
    ssize_t written = 0;
    do {
        written = ::write(fd.get(), value.data(), value.size());
    } while (written < 0 && errno == EINTR);
    return written < 0 ? errno : 0;
}

}  // namespace

Result<void> write_cgroup_file(int directory, const std::string& file, std::string_view value) {
    if (int code = write_once(directory, file, value); code != 0)
        return write_failed(code, file, value);
    return {};
}

Result<bool> write_cgroup_file_if_present(int directory, const std::string& file,
                                          std::string_view value) {
    int code = write_once(directory, file, value);
    if (code == ENOENT) return false;
    if (code != 0) return write_failed(code, file, value);
    return true;
}

Result<std::string> read_cgroup_file(int directory, const std::string& file) {
    Fd fd(openat(directory, file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) {
        int code = errno;
        Error error = errno_error(code, fmt::format("open cgroup file {}", file));
        if (code == ENOENT) error.code = Errc::unsupported;
        return fail(std::move(error));
    }
    // Small files in one call: each costs the hot path.
    std::string text;
    std::array<char, 4096> buffer;
    while (true) {
        ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, fmt::format("read cgroup file {}", file));
        text.append(buffer.data(), static_cast<size_t>(got));
        if (static_cast<size_t>(got) < buffer.size()) break;
    }
    if (!text.empty() && text.back() == '\n') text.pop_back();
    return text;
}

std::string read_cgroup_file_or_empty(int directory, const std::string& file) {
    auto text = read_cgroup_file(directory, file);
    return text ? std::move(*text) : std::string();
}

bool has_cgroup_file(int directory, const std::string& file) {
    return faccessat(directory, file.c_str(), F_OK, 0) == 0;
}

std::string limit_text(int64_t limit) {
    return limit < 0 ? "max" : fmt::format("{}", limit);
}

bool has_controller(std::string_view hierarchy, std::string_view controller) {
    for (auto name : split(hierarchy, ','))
        if (name == controller) return true;
    return false;
}

bool is_v1_controller(std::span<const ControllerDirectory> directories,
                      std::string_view controller) {
    for (const auto& entry : directories)
        if (has_controller(entry.hierarchy, controller)) return true;
    return false;
}

int find_controller(std::span<const ControllerDirectory> directories, std::string_view controller) {
    for (const auto& entry : directories)
        if (has_controller(entry.hierarchy, controller)) return entry.directory;
    return -1;
}

}  // namespace hull::kernel
