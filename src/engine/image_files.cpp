#include "engine/image_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <memory>

#include "base/text.hpp"
#include "kernel/rooted_path.hpp"

namespace hull::engine {
namespace {

constexpr int kMaxLinks = 40;

/// A merged folder: the folders of the layers that have it, topmost first.
using Folders = std::vector<std::shared_ptr<Fd>>;

bool has_mark(int fd, const char* name) {
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    for (const char* space : {"trusted.overlay.", "user.overlay."}) {
        std::array<char, 8> value{};
        if (::getxattr(path.c_str(), (std::string(space) + name).c_str(), value.data(),
                       value.size()) > 0)
            return true;
    }
    return false;
}

bool is_whiteout(int fd, const struct stat& info) {
    if (S_ISCHR(info.st_mode)) return info.st_rdev == ::makedev(0, 0);
    return S_ISREG(info.st_mode) && info.st_size == 0 && has_mark(fd, "whiteout");
}

struct Found {
    Folders folders;           ///< it is a folder
    std::shared_ptr<Fd> file;  ///< it is something else, O_PATH
    struct stat info{};
};

/// One name in a merged folder.
std::optional<Found> look_up(const Folders& in, const std::string& name) {
    Found found;
    for (const auto& folder : in) {
        Fd fd(::openat(folder->get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
        if (!fd) continue;
        struct stat info{};
        if (::fstat(fd.get(), &info) < 0) continue;
        if (is_whiteout(fd.get(), info)) break;
        bool is_folder = S_ISDIR(info.st_mode);
        if (!is_folder && !found.folders.empty()) break;  // a folder above hides it
        auto shared = std::make_shared<Fd>(std::move(fd));
        if (!is_folder) {
            found.file = std::move(shared);
            found.info = info;
            return found;
        }
        bool is_opaque = has_mark(shared->get(), "opaque");
        found.folders.push_back(std::move(shared));
        if (is_opaque) break;
    }
    if (found.folders.empty()) return std::nullopt;
    return found;
}

void push_front(std::deque<std::string>& rest, std::string_view path) {
    auto parts = split(path, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
        if (!part->empty() && *part != ".") rest.emplace_front(*part);
}

}  // namespace

Result<LayerView> LayerView::open(const std::vector<std::string>& layers) {
    std::vector<Fd> opened;
    for (const auto& path : layers) {
        auto fd = open_path(path, O_PATH | O_DIRECTORY);
        if (fd)
            opened.push_back(std::move(*fd));
        else if (fd.error().code != Errc::not_found)
            return fail(std::move(fd).error());
    }
    return LayerView(std::move(opened));
}

Result<std::optional<std::string>> LayerView::read_file(std::string_view path, size_t limit) const {
    Folders root;
    for (const auto& layer : layers_)
        root.push_back(std::make_shared<Fd>(TRY(layer.duplicate())));
    std::vector<Folders> stack{root};  // ".." goes back along it, never above the root
    std::deque<std::string> rest;
    push_front(rest, path);
    int links = 0;
    while (!rest.empty()) {
        std::string name = std::move(rest.front());
        rest.pop_front();
        if (name == "..") {
            if (stack.size() > 1) stack.pop_back();
            continue;
        }
        auto found = look_up(stack.back(), name);
        if (!found) return std::nullopt;
        if (!found->file) {
            stack.push_back(std::move(found->folders));
            continue;
        }
        if (S_ISLNK(found->info.st_mode)) {
            if (++links > kMaxLinks) return std::nullopt;
            std::array<char, 4096> target{};
            ssize_t size = ::readlinkat(found->file->get(), "", target.data(), target.size() - 1);
            if (size <= 0) return std::nullopt;
            std::string_view text(target.data(), static_cast<size_t>(size));
            if (text[0] == '/') stack.resize(1);
            push_front(rest, text);
            continue;
        }
        if (!S_ISREG(found->info.st_mode) || !rest.empty()) return std::nullopt;
        Fd readable = TRY(kernel::reopen(found->file->get(), O_RDONLY));
        return TRY(read_all(readable.get(), limit));
    }
    return std::nullopt;
}

}  // namespace hull::engine
