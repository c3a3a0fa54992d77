#include "base/remove_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <utility>

#include "base/text.hpp"

namespace hull {
namespace {

/// Levels below the top that are walked with open descriptors; what is deeper is moved up first.
constexpr int kMaxDepth = 48;

struct Entry {
    std::string name;
    bool is_folder = false;
};

struct CloseDirectory {
    void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<std::vector<Entry>> list_entries(int directory) {
    Fd own{::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!own) return fail_errno(errno, "read a folder");
    std::unique_ptr<DIR, CloseDirectory> stream{::fdopendir(own.get())};
    if (!stream) return fail_errno(errno, "read a folder");
    (void)own.release();
    std::vector<Entry> entries;
    while (const dirent* entry = ::readdir(stream.get())) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..")
            entries.push_back({std::string(name), entry->d_type == DT_DIR});
    }
    return entries;
}

/// One component, which is no link and lies on the same mount.
Result<Fd> open_folder(int directory, const std::string& name) {
    open_how how{};
    how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    long fd = -1;
    do {
        fd = ::syscall(SYS_openat2, directory, name.c_str(), &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    if (fd < 0) return fail_errno(errno, "open folder " + quote(name));
    return Fd{static_cast<int>(fd)};
}

class TreeRemover {
  public:
    explicit TreeRemover(int top) : top_(top) {}

    /// Empties `directory`, which lies `depth` levels below the top.
    Result<void> empty(int directory, int depth) {
        for (const Entry& entry : TRY(list_entries(directory)))
            TRY(remove_entry(directory, entry, depth));
        return {};
    }
    /// Whether something deep was moved up into the top folder, which must be emptied again.
    bool take_moved() { return std::exchange(moved_, 0) > 0; }

  private:
    Result<void> remove_entry(int directory, const Entry& entry, int depth);
    Result<void> move_up(int directory, const std::string& name);

    int top_;
    int moved_ = 0;
    unsigned int next_name_ = 0;
};

Result<void> empty_top(int directory) {
    TreeRemover remover(directory);
    do {
        TRY(remover.empty(directory, 0));
    } while (remover.take_moved());
    return {};
}

/// True: it is gone. False: it is a folder with something in it.
Result<bool> remove_if_simple(int directory, const Entry& entry) {
    const char* name = entry.name.c_str();
    int refused = 0;
    if (!entry.is_folder) {
        if (::unlinkat(directory, name, 0) == 0 || errno == ENOENT) return true;
        // EISDIR, EPERM: the file system did not say that it is a directory.
        if (errno != EISDIR && errno != EPERM)
            return fail_errno(errno, "remove " + quote(entry.name));
        refused = errno;
    }
    if (::unlinkat(directory, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
    if (errno == ENOTEMPTY || errno == EEXIST) return false;
    const int cause = errno == ENOTDIR && refused != 0 ? refused : errno;
    return fail_errno(cause, "remove " + quote(entry.name));
}

Result<void> TreeRemover::remove_entry(int directory, const Entry& entry, int depth) {
    if (TRY(remove_if_simple(directory, entry))) return {};
    if (depth >= kMaxDepth) return move_up(directory, entry.name);
    {
        const Fd inner = TRY(open_folder(directory, entry.name));
        TRY(empty(inner.get(), depth + 1));
    }
    if (::unlinkat(directory, entry.name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT)
        return fail_errno(errno, "remove folder " + quote(entry.name));
    return {};
}

Result<void> TreeRemover::move_up(int directory, const std::string& name) {
    constexpr int kTries = 4096;
    for (int attempt = 0; attempt < kTries; ++attempt) {
        const std::string free_name = ".hull-removed-" + std::to_string(next_name_++);
        if (::renameat2(directory, name.c_str(), top_, free_name.c_str(), RENAME_NOREPLACE) == 0) {
            ++moved_;
            return {};
        }
        if (errno != EEXIST) return fail_errno(errno, "move deep folder " + quote(name));
    }
    return fail(Errc::conflict, "move deep folder " + quote(name) + ": no free name");
}

}  // namespace

Result<void> remove_content_at(int directory) {
    return empty_top(directory);
}

Result<void> remove_tree_at(int directory, const std::string& name) {
    if (TRY(remove_if_simple(directory, {name, false}))) return {};
    {
        const Fd inner = TRY(open_folder(directory, name));
        TRY(empty_top(inner.get()));
    }
    if (::unlinkat(directory, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT)
        return fail_errno(errno, "remove folder " + quote(name));
    return {};
}

Result<void> remove_tree(const std::string& path) {
    auto parent = open_path(parent_path(path), O_PATH | O_DIRECTORY);
    if (!parent && (parent.error().sys_errno == ENOENT || parent.error().sys_errno == ENOTDIR))
        return {};
    if (!parent) return fail(std::move(parent).error().with_context("remove " + path));
    return with_context(remove_tree_at(parent->get(), base_name(path)), "remove " + path);
}

}  // namespace hull
