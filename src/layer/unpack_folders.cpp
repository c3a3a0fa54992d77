#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>

#include "base/text.hpp"
#include "layer/unpacker.hpp"

namespace hull::layer {
namespace {

constexpr size_t kMostRemembered = 200'000;
constexpr std::string_view kDefaultAcl = "system.posix_acl_default";

/// What no image has, and what would take memory without end.
Result<void> check_remembered(size_t count, std::string_view what) {
    if (count <= kMostRemembered) return {};
    return fail(Errc::invalid, "the layer has more than " + std::to_string(kMostRemembered) + " " +
                                   std::string{what});
}

}  // namespace

Result<void> Unpacker::add_directory(const TarEntry& entry, const Directory& parent,
                                     const std::string& name) {
    auto made = directories_->make(parent, name);
    if (!made && made.error().code == Errc::exists) {
        struct stat info{};
        bool hides = ::fstatat(parent.fd.get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
                     is_whiteout(info);
        TRY(remove_existing(parent, name));
        made = directories_->make(parent, name);
        if (made && hides) TRY(directories_->set_opaque(**made));
    }
    if (!made) return fail(std::move(made).error());
    return make_directory(entry, *made);
}

Result<void> Unpacker::make_directory(const TarEntry& entry, const Handle& folder) {
    PendingDirectory& pending = directories_->pending(folder->path);
    pending.is_implied = false;
    pending.is_below = false;
    pending.mode = entry.mode & 07777U;
    pending.uid = entry.uid;
    pending.gid = entry.gid;
    pending.mtime = entry.mtime;
    if (is_settled_) implied_.erase(folder->path);
    default_acls_.erase(folder->path);
    for (const auto& [attribute, value] : entry.xattrs) {
        if (attribute == kDefaultAcl)
            default_acls_[folder->path] = value;
        else
            TRY(set_attribute(folder->fd.get(), entry, attribute, value));
    }
    return check_remembered(default_acls_.size(), "folders with a default ACL");
}

Result<void> Unpacker::set_default_acls() {
    for (const auto& [path, value] : default_acls_) {
        auto folder = directories_->find(path);
        if (!folder) continue;  // another member took its place
        TarEntry entry;
        entry.name = path;
        TRY(set_attribute((*folder)->fd.get(), entry, std::string{kDefaultAcl}, value));
    }
    return {};
}

Result<void> Unpacker::bound_pending() {
    if (directories_->all_pending().size() < options_.pending_folders) return {};
    TRY(finish_directories());
    is_settled_ = true;
    directories_->settle();
    return {};
}

Result<void> Unpacker::finish_directories() {
    bool has_root = options_.whiteouts == WhiteoutForm::apply || is_settled_;
    if (!has_root) directories_->pending("");
    const auto& all = directories_->all_pending();
    for (auto item = all.rbegin(); item != all.rend(); ++item) {
        const auto& [path, pending] = *item;
        if (pending.is_implied) implied_.insert(path);
        Handle folder = TRY(directories_->find(path));
        TarEntry entry;
        entry.name = path;
        entry.uid = pending.uid;
        entry.gid = pending.gid;
        if (!pending.is_below && needs_owner(entry) &&
            ::fchown(folder->fd.get(), entry.uid, entry.gid) < 0)
            return fail(owner_error(errno, entry));
        if (!pending.is_below && ::fchmod(folder->fd.get(), pending.mode) < 0)
            return fail_errno(errno, "chmod " + quote(path));
        std::array<timespec, 2> times{pending.mtime, pending.mtime};
        if (::futimens(folder->fd.get(), times.data()) < 0)
            return fail_errno(errno, "set the time of " + quote(path));
    }
    return check_remembered(implied_.size(), "folders without a member of their own");
}

}  // namespace hull::layer
