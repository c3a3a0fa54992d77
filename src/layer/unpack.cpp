#include "layer/unpack.hpp"

#include <unistd.h>

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "layer/unpacker.hpp"

namespace hull::layer {
namespace {

constexpr std::string_view kWhiteout = ".wh.";
constexpr size_t kMaxName = 4096;

mode_t current_umask() {
    auto status = read_file("/proc/self/status", 1U << 16U);
    if (!status) return 07777;  // not known: every mode is set again
    for (std::string_view line : split_lines(*status))
        if (line.starts_with("Umask:"))
            return parse_number<mode_t>(trim(line.substr(6)), 8).value_or(07777);
    return 07777;
}

bool is_inside_user_namespace() {
    auto map = read_file("/proc/self/uid_map", 1U << 16U);
    if (!map) return ::geteuid() != 0;
    std::vector<std::string_view> words;
    for (std::string_view word : split(trim(*map), ' '))
        if (!trim(word).empty()) words.push_back(trim(word));
    return words != std::vector<std::string_view>{"0", "0", "4294967295"};
}

std::string opaque_attribute(WhiteoutForm form) {
    switch (form) {
        case WhiteoutForm::overlay_trusted:
            return "trusted.overlay.opaque";
        case WhiteoutForm::overlay_user:
            return "user.overlay.opaque";
        default:
            return {};
    }
}

}  // namespace

Result<std::string> clean_member_name(std::string_view name) {
    if (name.size() > kMaxName)
        return fail(Errc::corrupt,
                    "tar: a member's name is longer than 4096 bytes: " + quote(name.substr(0, 80)));
    std::string clean;
    clean.reserve(name.size());
    for (size_t start = 0; start <= name.size();) {
        size_t slash = std::min(name.find('/', start), name.size());
        std::string_view part = name.substr(start, slash - start);
        start = slash + 1;
        if (part.empty() || part == ".") continue;
        if (part == "..") {
            if (clean.empty())
                return fail(Errc::corrupt, "tar: member " + quote(name) + " leads out of its layer",
                            "the archive is hostile or badly made; nothing was unpacked");
            clean.resize(split_path(clean).parent.size());
            continue;
        }
        if (!clean.empty()) clean.push_back('/');
        clean.append(part);
    }
    return clean;
}

Unpacker::Unpacker(std::unique_ptr<UnpackDirectories> directories, const UnpackOptions& options)
    : directories_(std::move(directories)),
      options_(options),
      umask_(current_umask()),
      uid_(::geteuid()),
      gid_(::getegid()) {}

Result<UnpackReport> Unpacker::run(ByteSource& tar) {
    if (options_.whiteouts == WhiteoutForm::apply) directories_->keep_times();
    std::unique_ptr<TarReader> reader = create_tar_reader(tar);
    for (;;) {
        const TarEntry* entry = TRY(reader->next());
        if (entry == nullptr) break;
        TRY(bound_pending());
        auto added = add(*entry, *reader);
        if (!added) return fail(explain(std::move(added).error(), entry->name));
    }
    TRY(reader->drain());
    TRY(finish_directories());
    TRY(set_default_acls());
    report_.implied_directories.assign(implied_.begin(), implied_.end());
    report_.has_replaced = report_.has_replaced || directories_->has_replaced();
    return std::move(report_);
}

Error Unpacker::explain(Error error, const std::string& name) {
    int cause = error.sys_errno;
    if (error.message.find(quote(name)) == std::string::npos)
        error = std::move(error).with_context("unpack " + quote(name.substr(0, 300)));
    if (cause == ENOSPC || cause == EDQUOT)
        return std::move(error).with_hint(
            "free space or inodes on the store's file system, or remove images with hull "
            "image prune");
    return error;
}

Result<void> Unpacker::add(const TarEntry& entry, TarReader& reader) {
    if (++report_.entries > options_.max_entries)
        return fail(Errc::invalid,
                    "the layer has more than " + std::to_string(options_.max_entries) + " members");
    std::string path = TRY(clean_member_name(entry.name));
    report_.highest_id = std::max({report_.highest_id, entry.uid, entry.gid});
    if (path.empty()) {
        if (entry.type != TarType::directory)
            return fail(Errc::corrupt, "tar: the layer's root is no folder");
        return make_directory(entry, TRY(directories_->ensure("")));
    }
    auto [parent_path, name] = split_path(path);
    Handle parent = TRY(directories_->ensure(parent_path));
    if (name.starts_with(kWhiteout) && options_.whiteouts != WhiteoutForm::keep)
        return add_whiteout(parent, name);
    std::string last{name};
    if (options_.whiteouts == WhiteoutForm::apply) made_.insert(below(*parent, last));
    switch (entry.type) {
        case TarType::file:
            return add_file(entry, *parent, last, reader);
        case TarType::directory:
            return add_directory(entry, *parent, last);
        case TarType::symlink:
            return add_symlink(entry, *parent, last);
        case TarType::hard_link:
            return add_hard_link(entry, *parent, last);
        case TarType::fifo:
            return add_fifo(entry, *parent, last);
        case TarType::character_device:
        case TarType::block_device:
            break;
    }
    // A device of an image could never be opened in a container (nodev), and 0/0 is a whiteout.
    skip(report_.skipped_devices, path);
    return {};
}

void Unpacker::skip(uint64_t& counter, const std::string& what) {
    ++counter;
    if (report_.first_skipped.empty()) report_.first_skipped = what;
}

std::string Unpacker::below(const Directory& parent, std::string_view name) {
    std::string path = parent.path;
    if (!path.empty()) path.push_back('/');
    return path.append(name);
}

Result<void> Unpacker::remove_existing(const Directory& parent, const std::string& name) {
    report_.has_replaced = true;
    if (::unlinkat(parent.fd.get(), name.c_str(), 0) == 0) return {};
    if (errno != EISDIR) return fail_errno(errno, "remove " + quote(below(parent, name)));
    directories_->forget(below(parent, name));
    return remove_tree_at(parent.fd.get(), name);
}

UnpackOptions unpack_options_here() {
    UnpackOptions options;
    if (is_inside_user_namespace()) options.whiteouts = WhiteoutForm::overlay_user;
    options.set_owners = ::geteuid() == 0;
    return options;
}

Result<UnpackReport> unpack_tar(ByteSource& tar, int root, const UnpackOptions& options) {
    auto directories = TRY(UnpackDirectories::open(root, opaque_attribute(options.whiteouts)));
    return Unpacker{std::move(directories), options}.run(tar);
}

}  // namespace hull::layer
