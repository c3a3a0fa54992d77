#include "engine/mounts.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <memory>

#include "base/file.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "kernel/idmap.hpp"
#include "kernel/mount.hpp"

namespace hull::engine {
namespace {

constexpr std::array<std::string_view, 8> kPropagations = {
    "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"};

bool is_propagation(std::string_view word) {
    return std::ranges::find(kPropagations, word) != kPropagations.end();
}

Result<std::string> check_target(std::string_view target, std::string_view whole) {
    if (target.empty() || target[0] != '/')
        return fail(Errc::invalid,
                    "mount " + quote(whole) + ": " + quote(target) + " is not an absolute path",
                    "give the path inside the container, from /");
    std::string clean = clean_path(target);
    if (clean == "/")
        return fail(Errc::invalid, "mount " + quote(whole) + ": cannot replace the container's /");
    return clean;
}

Result<void> read_volume_flag(MountConfig& mount, std::string_view flag, std::string_view whole) {
    if (flag == "ro") {
        mount.read_only = true;
    } else if (flag == "nocopy") {
        mount.no_copy = true;
    } else if (is_propagation(flag)) {
        mount.propagation = flag;
    } else if (flag != "rw" && flag != "z" && flag != "Z" && flag != "rbind" && flag != "bind" &&
               !flag.empty()) {
        return fail(Errc::invalid, "volume " + quote(whole) + ": unknown option " + quote(flag),
                    "options are ro, rw, nocopy, z, Z and the propagation modes");
    }
    if (flag == "bind") mount.recursive = false;
    return {};
}

Result<uint32_t> parse_mode(std::string_view text) {
    auto mode = parse_number<uint32_t>(text, 8);
    if (!mode || *mode > 07777)
        return fail(Errc::invalid, "tmpfs mode " + quote(text) + " is not an octal mode");
    return *mode;
}

struct MountOption {
    std::string_view key;
    std::string_view value;
    bool has_value = false;
    bool is_true() const { return !has_value || value == "true" || value == "1"; }
};

Result<void> read_mount_option(MountConfig& mount, const MountOption& option,
                               std::string_view whole) {
    auto key = option.key;
    if (key == "type") {
        if (option.value == "bind")
            mount.kind = MountKind::bind;
        else if (option.value == "volume")
            mount.kind = MountKind::volume;
        else if (option.value == "tmpfs")
            mount.kind = MountKind::tmpfs;
        else
            return fail(Errc::invalid,
                        "--mount " + quote(whole) + ": unknown type " + quote(option.value),
                        "types are bind, volume and tmpfs");
    } else if (key == "source" || key == "src") {
        mount.source = option.value;
    } else if (key == "target" || key == "dst" || key == "destination") {
        mount.target = TRY(check_target(option.value, whole));
    } else if (key == "readonly" || key == "ro") {
        mount.read_only = option.is_true();
    } else if (key == "volume-nocopy") {
        mount.no_copy = option.is_true();
    } else if (key == "bind-nonrecursive") {
        mount.recursive = !option.is_true();
    } else if (key == "bind-propagation" && is_propagation(option.value)) {
        mount.propagation = option.value;
    } else if (key == "tmpfs-size") {
        mount.tmpfs_size = TRY(parse_bytes(option.value)).value;
    } else if (key == "tmpfs-mode") {
        mount.tmpfs_mode = TRY(parse_mode(option.value));
    } else if (key != "consistency") {
        return fail(Errc::invalid, "--mount " + quote(whole) + ": unknown option " + quote(key),
                    "options are type, source, target, readonly, bind-propagation, "
                    "bind-nonrecursive, volume-nocopy, tmpfs-size and tmpfs-mode");
    }
    return {};
}

}  // namespace

Result<MountConfig> parse_volume_option(std::string_view text) {
    auto parts = split(text, ':');
    MountConfig mount;
    mount.create_source = true;
    if (parts.size() > 3)
        return fail(Errc::invalid, "volume " + quote(text) + " has more than three parts",
                    "write SOURCE:TARGET[:OPTIONS]; paths with colons need --mount");
    if (parts.size() == 1) {
        mount.kind = MountKind::volume;
        mount.anonymous = true;
        mount.target = TRY(check_target(parts[0], text));
        return mount;
    }
    mount.target = TRY(check_target(parts[1], text));
    mount.source = parts[0];
    if (!mount.source.empty() && (mount.source[0] == '/' || mount.source[0] == '.')) {
        mount.kind = MountKind::bind;
        mount.source = clean_path(TRY(absolute_path(mount.source)));
    } else {
        mount.kind = MountKind::volume;
        TRY(check_name(mount.source, "volume name"));
    }
    if (parts.size() == 3)
        for (auto flag : split(parts[2], ','))
            TRY(read_volume_flag(mount, flag, text));
    return mount;
}

Result<MountConfig> parse_mount_option(std::string_view text) {
    MountConfig mount;
    mount.kind = MountKind::volume;
    for (auto word : split(text, ',')) {
        size_t equals = word.find('=');
        bool has_value = equals != std::string_view::npos;
        TRY(read_mount_option(
            mount, {word.substr(0, equals), has_value ? word.substr(equals + 1) : "", has_value},
            text));
    }
    if (mount.target.empty())
        return fail(Errc::invalid, "--mount " + quote(text) + " has no target",
                    "add target=/path/inside");
    if (mount.kind == MountKind::bind) {
        if (mount.source.empty() || mount.source[0] != '/')
            return fail(Errc::invalid, "--mount " + quote(text) +
                                           ": the source of a bind mount "
                                           "must be an absolute path");
        mount.source = clean_path(mount.source);
    } else if (mount.kind == MountKind::volume) {
        mount.anonymous = mount.source.empty();
        if (!mount.anonymous) TRY(check_name(mount.source, "volume name"));
    }
    return mount;
}

Result<MountConfig> parse_tmpfs_option(std::string_view text) {
    MountConfig mount;
    mount.kind = MountKind::tmpfs;
    size_t colon = text.find(':');
    mount.target = TRY(check_target(text.substr(0, colon), text));
    if (colon == std::string_view::npos) return mount;
    for (auto word : split(text.substr(colon + 1), ',')) {
        if (word == "ro") {
            mount.read_only = true;
        } else if (word.starts_with("size=")) {
            mount.tmpfs_size = TRY(parse_bytes(word.substr(5))).value;
        } else if (word.starts_with("mode=")) {
            mount.tmpfs_mode = TRY(parse_mode(word.substr(5)));
        } else if (word != "rw" && word != "nosuid" && word != "nodev" && word != "noexec" &&
                   word != "exec" && !word.empty()) {
            return fail(Errc::invalid, "--tmpfs " + quote(text) + ": unknown option " + quote(word),
                        "options are size=BYTES, mode=OCTAL, ro and rw");
        }
    }
    return mount;
}

std::vector<spec::IdMapping> bind_id_mappings(uint32_t owner, const Range& fixed,
                                              const Range& container) {
    uint32_t count = std::min(fixed.count, container.count);
    std::vector<spec::IdMapping> out{{owner, container.first, 1}};
    // An owner out of the fixed range itself (a file that another container's user made) is 0 here
    // and not also the id it would be otherwise.
    uint32_t skipped = owner > fixed.first && owner < fixed.first + count ? owner - fixed.first : 0;
    auto add = [&](uint32_t from, uint32_t to) {
        if (from < to) out.push_back({fixed.first + from, container.first + from, to - from});
    };
    if (skipped == 0) {
        add(1, count);
    } else {
        add(1, skipped);
        add(skipped + 1, count);
    }
    return out;
}

bool can_be_idmapped(const std::string& path) {
    auto mount = kernel::clone_mount(AT_FDCWD, path);
    if (!mount) return false;
    auto idmap = kernel::create_user_namespace({.users = {{0, 0, 1}}, .groups = {{0, 0, 1}}});
    if (!idmap) return false;
    return kernel::set_mount_attributes(mount->get(), {.idmap_namespace = idmap->get()})
        .has_value();
}

namespace {

struct FolderId {
    dev_t device;
    ino_t inode;
    bool operator==(const FolderId&) const = default;
};

/// `path` itself, where links lead, and every folder above it.
Result<std::vector<FolderId>> folders_up_from(const std::string& path) {
    const std::unique_ptr<char, decltype(&::free)> real{::realpath(path.c_str(), nullptr), &::free};
    if (!real) return fail_errno(errno, "look at " + path);
    std::vector<FolderId> out;
    for (std::string here = real.get();; here = parent_path(here)) {
        struct stat info{};
        if (::stat(here.c_str(), &info) < 0) return fail_errno(errno, "look at " + here);
        out.push_back({info.st_dev, info.st_ino});
        if (here == "/") return out;
    }
}

}  // namespace

Result<void> refuse_own_state(const Settings& settings, const std::string& source) {
    const auto above_source = TRY(folders_up_from(source));
    std::vector<std::string> own{settings.run_root};
    if (!settings.is_rootless) own.push_back(settings.root);
    for (const auto& folder : own) {
        const auto above_folder = TRY(folders_up_from(folder));
        const bool overlaps =
            std::ranges::find(above_source, above_folder.front()) != above_source.end() ||
            std::ranges::find(above_folder, above_source.front()) != above_folder.end();
        if (overlaps)
            return fail(
                Errc::denied,
                "bind mount: " + source + " would give the container hull's own files in " + folder,
                "mount only the folders that it needs; --allow-engine-socket allows this "
                "one, and with it everything that hull can do");
    }
    return {};
}

}  // namespace hull::engine
