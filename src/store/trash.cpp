#include "store/trash.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "base/fd.hpp"
#include "base/file.hpp"

namespace hull::store {

Result<std::string> move_to_trash(const std::string& root, const std::string& path) {
    static std::atomic<unsigned> counter{0};
    for (;;) {
        timespec now{};
        ::clock_gettime(CLOCK_REALTIME, &now);
        std::string target = root + "/trash/" + base_name(path).substr(0, 100) + "." +
                             std::to_string(now.tv_nsec) + "-" + std::to_string(::getpid()) + "-" +
                             std::to_string(counter.fetch_add(1));
        if (::renameat2(AT_FDCWD, path.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0)
            return target;
        if (errno == ENOENT) return std::string{};
        if (errno != EEXIST) return fail_errno(errno, "rename " + path + " to " + target);
    }
}

Result<bool> delete_trashed(const std::string& path) {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) return true;
    if (fd < 0 && errno == EACCES) return false;
    Fd lock{fd};
    if (lock.is_open() && ::flock(lock.get(), LOCK_EX | LOCK_NB) < 0) return false;
    auto removed = remove_tree(path);
    if (!removed && removed.error().code == Errc::denied) return false;
    if (!removed) return fail(std::move(removed).error());
    return true;
}

Result<void> empty_trash(const Store& store) {
    std::string folder = store.root() + "/trash";
    for (const std::string& name : TRY(list_directory(folder)))
        TRY(delete_trashed(folder + "/" + name));
    return {};
}

}  // namespace hull::store
