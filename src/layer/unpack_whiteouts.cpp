#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/rooted_path.hpp"
#include "layer/unpacker.hpp"

namespace hull::layer {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";

}  // namespace

bool is_whiteout(const struct stat& info) {
    return S_ISCHR(info.st_mode) && info.st_rdev == 0;
}

Result<void> Unpacker::add_whiteout(const Handle& parent, std::string_view name) {
    if (name == kOpaque) return add_opaque(parent);
    std::string hidden{name.substr(kWhiteout.size())};
    if (hidden.starts_with(kWhiteout)) return {};  // AUFS' own notes
    if (hidden.empty() || hidden == "." || hidden == "..")
        return fail(Errc::corrupt, "tar: whiteout " + quote(name) + " names no file",
                    "the archive is hostile or badly made; nothing was unpacked");
    if (options_.whiteouts == WhiteoutForm::apply) return apply_whiteout(*parent, hidden);
    if (directories_->is_opaque(parent->path)) return {};  // nothing is below
    struct stat info{};
    if (::fstatat(parent->fd.get(), hidden.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
        // The layer has both: its own stays, what is below it goes.
        if (!S_ISDIR(info.st_mode)) return {};
        return directories_->set_opaque(*TRY(directories_->make(*parent, hidden)));
    }
    // An ordinary user may make this one device since Linux 5.8.
    if (::mknodat(parent->fd.get(), hidden.c_str(), S_IFCHR, 0) < 0)
        return fail_errno(errno, "create the whiteout " + quote(below(*parent, hidden)));
    ++report_.names;
    return {};
}

Result<void> Unpacker::add_opaque(const Handle& parent) {
    if (options_.whiteouts == WhiteoutForm::apply) return empty_folder(*parent);
    TRY(directories_->set_opaque(*parent));
    // Overlayfs shows whiteouts as broken files in a folder with nothing below it.
    for (const auto& entry : TRY(kernel::list_directory_at(parent->fd.get()))) {
        struct stat info{};
        if (::fstatat(parent->fd.get(), entry.name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            is_whiteout(info) && ::unlinkat(parent->fd.get(), entry.name.c_str(), 0) == 0)
            --report_.names;
    }
    return {};
}

Result<void> Unpacker::apply_whiteout(const Directory& parent, const std::string& name) {
    if (made_.contains(below(parent, name))) return {};
    directories_->forget(below(parent, name));
    return remove_tree_at(parent.fd.get(), name);
}

Result<void> Unpacker::empty_folder(const Directory& folder) {
    for (const auto& entry : TRY(kernel::list_directory_at(folder.fd.get())))
        TRY(apply_whiteout(folder, entry.name));
    return {};
}

}  // namespace hull::layer
