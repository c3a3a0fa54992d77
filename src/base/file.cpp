#include "base/file.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "base/text.hpp"

namespace hull {

Result<std::string> read_file(const std::string& path, size_t limit) {
    Fd file = TRY(open_path(path, O_RDONLY));
    return with_context(read_all(file.get(), limit), "read " + path);
}

namespace {

std::string random_suffix() {
    std::string bytes(8, '\0');
    // getrandom(2): up to 256 bytes are never interrupted or short.
    if (::getrandom(bytes.data(), bytes.size(), 0) < 0) bytes = std::to_string(::getpid());
    return to_hex(bytes);
}

Result<void> sync_directory(const std::string& path) {
    Fd directory = TRY(open_path(path, O_RDONLY | O_DIRECTORY));
    if (::fsync(directory.get()) < 0) return fail_errno(errno, "fsync " + path);
    return {};
}

Result<void> write_then_rename(const std::string& temporary, const std::string& path,
                               std::string_view content, WriteOptions options) {
    Fd file = TRY(open_path(temporary, O_WRONLY | O_CREAT | O_EXCL, options.mode));
    // The umask shall not decide who may read hull's state.
    if (::fchmod(file.get(), options.mode) < 0) return fail_errno(errno, "chmod " + temporary);
    TRY(with_context(write_all(file.get(), content), "write " + path));
    if (options.durable && ::fsync(file.get()) < 0) return fail_errno(errno, "fsync " + path);
    if (::rename(temporary.c_str(), path.c_str()) < 0)
        return fail_errno(errno, "rename " + temporary + " to " + path);
    if (options.durable) TRY(sync_directory(parent_path(path)));
    return {};
}

}  // namespace

Result<void> write_file_atomically(const std::string& path, std::string_view content,
                                   WriteOptions options) {
    std::string temporary = path + ".tmp-" + random_suffix();
    auto done = write_then_rename(temporary, path, content, options);
    if (!done) ::unlink(temporary.c_str());
    return done;
}

Result<void> create_directories(const std::string& path, mode_t mode) {
    if (path.empty()) return fail(Errc::invalid, "create a folder: the path is empty");
    if (::mkdir(path.c_str(), mode) == 0) return {};
    if (errno == EEXIST) {
        struct stat info{};
        if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
        return fail_errno(ENOTDIR, "create folder " + path);
    }
    if (errno != ENOENT) return fail_errno(errno, "create folder " + path);
    std::string parent = parent_path(path);
    if (parent == path) return fail_errno(ENOENT, "create folder " + path);
    TRY(create_directories(parent, mode));
    if (::mkdir(path.c_str(), mode) < 0 && errno != EEXIST)
        return fail_errno(errno, "create folder " + path);
    return {};
}

namespace {

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

bool is_dot_name(const char* name) {
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

Result<Directory> open_directory(Fd fd, const std::string& name) {
    DIR* directory = ::fdopendir(fd.get());
    if (directory == nullptr) return fail_errno(errno, "read folder " + name);
    (void)fd.release();
    return Directory{directory};
}

}  // namespace

Result<std::vector<std::string>> list_directory(const std::string& path) {
    Directory entries = TRY(open_directory(TRY(open_path(path, O_RDONLY | O_DIRECTORY)), path));
    std::vector<std::string> names;
    while (dirent* entry = ::readdir(entries.get()))
        if (!is_dot_name(entry->d_name)) names.emplace_back(entry->d_name);
    std::sort(names.begin(), names.end());
    return names;
}

bool path_exists(const std::string& path) {
    return ::access(path.c_str(), F_OK) == 0;
}

std::string join_path(std::string_view head, std::string_view tail) {
    while (head.size() > 1 && head.ends_with('/'))
        head.remove_suffix(1);
    while (tail.starts_with('/'))
        tail.remove_prefix(1);
    std::string out{head};
    if (tail.empty()) return out;
    if (!out.empty() && !out.ends_with('/')) out += '/';
    return out += tail;
}

std::string parent_path(std::string_view path) {
    while (path.size() > 1 && path.ends_with('/'))
        path.remove_suffix(1);
    size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return ".";
    if (slash == 0) return "/";
    return std::string{path.substr(0, slash)};
}

std::string base_name(std::string_view path) {
    while (path.size() > 1 && path.ends_with('/'))
        path.remove_suffix(1);
    size_t slash = path.rfind('/');
    if (slash == std::string_view::npos || path.size() == 1) return std::string{path};
    return std::string{path.substr(slash + 1)};
}

std::string clean_path(std::string_view path) {
    bool absolute = path.starts_with('/');
    std::vector<std::string> kept;
    for (auto part : split(path, '/')) {
        if (part.empty() || part == ".") continue;
        if (part == "..") {
            if (!kept.empty()) kept.pop_back();
            continue;
        }
        kept.emplace_back(part);
    }
    std::string out = absolute ? "/" : "";
    out += join(kept, "/");
    return out.empty() ? "." : out;
}

Result<std::string> absolute_path(const std::string& path) {
    if (path.starts_with('/')) return clean_path(path);
    std::unique_ptr<char, decltype(&::free)> here{::getcwd(nullptr, 0), &::free};
    if (!here) return fail_errno(errno, "find the working folder");
    return clean_path(join_path(here.get(), path));
}

namespace {

Result<Fd> lock_file(const std::string& path, LockFile::Kind kind, bool wait) {
    Fd file = TRY(open_path(path, O_RDWR | O_CREAT, 0600));
    int operation = (kind == LockFile::Kind::shared ? LOCK_SH : LOCK_EX) | (wait ? 0 : LOCK_NB);
    while (::flock(file.get(), operation) < 0) {
        if (errno == EINTR) continue;
        if (errno == EWOULDBLOCK)
            return fail(Errc::conflict, path + " is locked by another process");
        return fail_errno(errno, "lock " + path);
    }
    return file;
}

}  // namespace

Result<LockFile> LockFile::acquire(const std::string& path, Kind kind) {
    return LockFile{TRY(lock_file(path, kind, true))};
}

Result<LockFile> LockFile::try_acquire(const std::string& path, Kind kind) {
    return LockFile{TRY(lock_file(path, kind, false))};
}

}  // namespace hull
