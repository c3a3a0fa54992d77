#include "kernel/rooted_walk.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include "base/text.hpp"
#include "kernel/rooted_path.hpp"

namespace hull::kernel {

Result<std::string> read_link_at(int directory, const std::string& name) {
    std::array<char, PATH_MAX> target{};
    ssize_t size = ::readlinkat(directory, name.c_str(), target.data(), target.size());
    if (size < 0)
        return fail_errno(errno, "read symbolic link" + (name.empty() ? "" : " " + quote(name)));
    return std::string(target.data(), static_cast<size_t>(size));
}

namespace {

constexpr int kMaxLinks = 40;  // as the kernel's own limit

/// Pushes the components of `path` so that the first one is popped first.
void push_components(std::vector<std::string>& pending, std::string_view path) {
    auto parts = split(path, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
        if (!part->empty() && *part != ".") pending.emplace_back(*part);
}

/// Opens one component, made as a directory if it is missing.
Result<Fd> open_or_make(int directory, const std::string& name, const WalkOptions& options) {
    OpenHow how = beneath_how(O_PATH | O_NOFOLLOW);
    how.resolve |= options.resolve;
    constexpr int kTries = 16;  // somebody may remove it again
    for (int attempt = 0;; ++attempt) {
        auto entry = open_beneath(directory, name, how);
        if (entry || entry.error().sys_errno != ENOENT || attempt == kTries) return entry;
        if (::mkdirat(directory, name.c_str(), options.mode) < 0 && errno != EEXIST)
            return fail_errno(errno, "create directory " + quote(name));
    }
}

}  // namespace

Result<Fd> walk_and_make(int root, std::string_view path, const WalkOptions& options) {
    if (path.find('\0') != std::string_view::npos)
        return fail(Errc::invalid, "create directory " + quote(path) + ": has a NUL byte");
    std::vector<std::string> pending;
    push_components(pending, path);
    std::vector<Fd> walked;  // from below the root to where we are
    int links = 0;
    while (!pending.empty()) {
        std::string name = std::move(pending.back());
        pending.pop_back();
        if (name == "..") {
            if (!walked.empty()) walked.pop_back();
            continue;
        }
        int here = walked.empty() ? root : walked.back().get();
        Fd entry =
            TRY(with_context(open_or_make(here, name, options), "create directory " + quote(path)));
        struct stat info{};
        if (::fstat(entry.get(), &info) < 0) return fail_errno(errno, "look at " + quote(name));
        if (S_ISLNK(info.st_mode)) {
            if (!options.follow_links || ++links > kMaxLinks) {
                Error error = errno_error(ELOOP, "create directory " + quote(path),
                                          quote(name) + " on the way is a symbolic link");
                error.code = Errc::invalid;
                return fail(std::move(error));
            }
            std::string target = TRY(read_link_at(entry.get(), ""));
            if (target.starts_with('/')) walked.clear();
            push_components(pending, target);
        } else if (S_ISDIR(info.st_mode)) {
            walked.push_back(std::move(entry));
        } else {
            Error error = errno_error(ENOTDIR, "create directory " + quote(path),
                                      quote(name) + " on the way is not a directory");
            error.code = Errc::invalid;
            return fail(std::move(error));
        }
    }
    if (!walked.empty()) return std::move(walked.back());
    Fd copy{::fcntl(root, F_DUPFD_CLOEXEC, 3)};
    if (!copy) return fail_errno(errno, "duplicate a root's descriptor");
    return copy;
}

}  // namespace hull::kernel
