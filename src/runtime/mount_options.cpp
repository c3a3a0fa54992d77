#include "runtime/mount_options.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "kernel/mount.hpp"

namespace hull::runtime {
namespace {

using jail::MountPlan;
using jail::Propagation;

/// An option of one mount: which MOUNT_ATTR_* bits it sets and clears. Each has a recursive form
/// with an "r" in front.
struct AttributeOption {
    std::string_view name;
    uint64_t set;
    uint64_t clear;
};

constexpr uint64_t kAtimeMask = MOUNT_ATTR__ATIME;
constexpr std::array kAttributeOptions = {
    AttributeOption{"ro", MOUNT_ATTR_RDONLY, 0}, AttributeOption{"rw", 0, MOUNT_ATTR_RDONLY},
    AttributeOption{"nosuid", MOUNT_ATTR_NOSUID, 0}, AttributeOption{"suid", 0, MOUNT_ATTR_NOSUID},
    AttributeOption{"nodev", MOUNT_ATTR_NODEV, 0}, AttributeOption{"dev", 0, MOUNT_ATTR_NODEV},
    AttributeOption{"noexec", MOUNT_ATTR_NOEXEC, 0}, AttributeOption{"exec", 0, MOUNT_ATTR_NOEXEC},
    AttributeOption{"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    AttributeOption{"diratime", 0, MOUNT_ATTR_NODIRATIME},
    AttributeOption{"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    AttributeOption{"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    // The atime mode is one field: whichever is set, the whole field is cleared first.
    AttributeOption{"relatime", MOUNT_ATTR_RELATIME, kAtimeMask},
    AttributeOption{"norelatime", MOUNT_ATTR_RELATIME, kAtimeMask},
    AttributeOption{"noatime", MOUNT_ATTR_NOATIME, kAtimeMask},
    AttributeOption{"atime", MOUNT_ATTR_RELATIME, kAtimeMask},
    AttributeOption{"strictatime", MOUNT_ATTR_STRICTATIME, kAtimeMask},
    AttributeOption{"nostrictatime", MOUNT_ATTR_RELATIME, kAtimeMask}};

struct PropagationOption {
    std::string_view name;
    Propagation kind;
};
constexpr std::array kPropagationOptions = {
    PropagationOption{"private", Propagation::private_},
    PropagationOption{"slave", Propagation::slave},
    PropagationOption{"shared", Propagation::shared},
    PropagationOption{"unbindable", Propagation::unbindable}};

/// Flags of the superblock that fsconfig(2) takes by name.
constexpr std::array<std::string_view, 8> kSuperblockFlags = {
    "sync", "async", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "iversion"};
/// Accepted without an effect: the new mount API has no such thing, or it is the default.
constexpr std::array<std::string_view, 4> kIgnored = {"defaults", "silent", "loud", "noiversion"};
/// crun's recursive forms of superblock flags: mounts below have superblocks of their own, which no
/// option of this mount changes (crun(1)).
constexpr std::array<std::string_view, 5> kIgnoredRecursive = {"rsync", "rasync", "rdirsync",
                                                               "rmand", "rnomand"};

void change(jail::MountAttributes& attributes, const AttributeOption& option) {
    attributes.set = (attributes.set & ~option.clear) | option.set;
    attributes.clear = (attributes.clear & ~option.set) | option.clear;
}

bool apply_attribute(std::string_view name, jail::MountAttributes& attributes) {
    for (const auto& option : kAttributeOptions)
        if (option.name == name) {
            change(attributes, option);
            return true;
        }
    return false;
}

bool apply_propagation(std::string_view name, bool recursive, MountPlan& mount) {
    for (const auto& option : kPropagationOptions)
        if (option.name == name) {
            mount.propagation = {.kind = option.kind, .recursive = recursive};
            return true;
        }
    return false;
}

/// crun's "uids=0-1000-10#10-2000-5": ranges INSIDE-OUTSIDE-COUNT.
Result<kernel::IdMap> parse_ranges(std::string_view text, std::string_view option) {
    kernel::IdMap map;
    for (auto range : split(text, '#')) {
        const auto parts = split(range, '-');
        const auto inside = parts.size() == 3 ? parse_number<uint32_t>(parts[0]) : std::nullopt;
        const auto outside = parts.size() == 3 ? parse_number<uint32_t>(parts[1]) : std::nullopt;
        const auto count = parts.size() == 3 ? parse_number<uint32_t>(parts[2]) : std::nullopt;
        if (!inside || !outside || !count)
            return fail(Errc::invalid,
                        "mount option " + quote(option) + ": bad range " + quote(range),
                        "write uids=INSIDE-OUTSIDE-COUNT[#…];gids=…");
        map.push_back({*inside, *outside, *count});
    }
    return map;
}

Result<void> apply_id_map(std::string_view option, MountPlan& mount) {
    mount.id_map.enabled = true;
    mount.id_map.recursive = option.starts_with('r');
    const size_t equals = option.find('=');
    if (equals == std::string_view::npos) return {};
    for (auto part : split(option.substr(equals + 1), ';')) {
        if (part.starts_with("uids="))
            mount.id_map.ids.users = TRY(parse_ranges(part.substr(5), option));
        else if (part.starts_with("gids="))
            mount.id_map.ids.groups = TRY(parse_ranges(part.substr(5), option));
        else
            return fail(Errc::invalid,
                        "mount option " + quote(option) + ": unknown part " + quote(part),
                        "write uids=INSIDE-OUTSIDE-COUNT[#…];gids=…");
    }
    return {};
}

bool apply_switch(std::string_view option, MountPlan& mount) {
    if (option == "bind" || option == "rbind") {
        mount.kind = jail::MountKind::bind;
        mount.recursive = option == "rbind";
    } else if (option == "remount") {
        mount.remount = true;
    } else if (option == "tmpcopyup") {
        mount.copy_up = true;
    } else if (option == "copy-symlink") {
        mount.copy_symlink = true;
    } else if (option == "src-nofollow") {
        mount.source_nofollow = true;
    } else if (option == "dest-nofollow") {
        mount.target_nofollow = true;
    } else {
        return false;
    }
    return true;
}

/// "@1-3-10": the second number is an id of the container's, which its user namespace maps.
Result<std::string> absolute_range(std::string_view range,
                                   const std::vector<spec::IdMapping>& mappings,
                                   std::string_view option) {
    auto parts = split(range.substr(1), '-');
    const auto id = parts.size() == 3 ? parse_number<uint32_t>(parts[1]) : std::nullopt;
    if (!id)
        return fail(Errc::invalid, "mount option " + quote(option) + ": bad range " + quote(range),
                    "write @INSIDE-CONTAINER_ID-COUNT");
    for (const auto& mapping : mappings)
        if (*id >= mapping.container_id && *id - mapping.container_id < mapping.size)
            return std::string{parts[0]} + "-" +
                   std::to_string(uint64_t{mapping.host_id} + (*id - mapping.container_id)) + "-" +
                   std::string{parts[2]};
    return fail(Errc::invalid,
                "mount option " + quote(option) + ": id " + std::to_string(*id) +
                    " is not mapped in the container's user namespace",
                "map it in linux.uidMappings and linux.gidMappings");
}

}  // namespace

bool is_relative_id_map(std::string_view option) {
    return (option.starts_with("idmap=") || option.starts_with("ridmap=")) &&
           option.find('@') != std::string_view::npos;
}

Result<std::string> absolute_id_map_option(std::string_view option, const spec::Linux& section) {
    const size_t equals = option.find('=');
    std::string out{option.substr(0, equals + 1)};
    std::vector<std::string> lists;
    for (auto list : split(option.substr(equals + 1), ';')) {
        const bool is_groups = list.starts_with("gids=");
        std::vector<std::string> ranges;
        for (auto range : split(list.substr(std::min<size_t>(5, list.size())), '#'))
            ranges.push_back(
                range.starts_with('@')
                    ? TRY(absolute_range(
                          range, is_groups ? section.gid_mappings : section.uid_mappings, option))
                    : std::string{range});
        lists.push_back(std::string{list.substr(0, 5)} + join(ranges, "#"));
    }
    return out + join(lists, ";");
}

Result<void> apply_mount_option(std::string_view option, MountPlan& mount) {
    if (option.empty()) return {};
    if (std::find(kIgnored.begin(), kIgnored.end(), option) != kIgnored.end()) return {};
    if (std::find(kIgnoredRecursive.begin(), kIgnoredRecursive.end(), option) !=
        kIgnoredRecursive.end())
        return {};
    if (apply_switch(option, mount) || apply_attribute(option, mount.attributes)) return {};
    if (apply_propagation(option, false, mount)) return {};
    if (option.starts_with('r')) {
        if (apply_attribute(option.substr(1), mount.recursive_attributes)) return {};
        if (apply_propagation(option.substr(1), true, mount)) return {};
    }
    if (option == "idmap" || option == "ridmap" || option.starts_with("idmap=") ||
        option.starts_with("ridmap="))
        return apply_id_map(option, mount);
    mount.parameters.emplace_back(option);
    return {};
}

std::vector<std::string> known_mount_options() {
    std::vector<std::string> names = {"bind",          "rbind",        "remount",
                                      "tmpcopyup",     "copy-symlink", "src-nofollow",
                                      "dest-nofollow", "idmap",        "ridmap"};
    for (const auto& option : kAttributeOptions) {
        names.emplace_back(option.name);
        names.push_back("r" + std::string(option.name));
    }
    for (const auto& option : kPropagationOptions) {
        names.emplace_back(option.name);
        names.push_back("r" + std::string(option.name));
    }
    names.insert(names.end(), kSuperblockFlags.begin(), kSuperblockFlags.end());
    names.insert(names.end(), kIgnored.begin(), kIgnored.end());
    names.insert(names.end(), kIgnoredRecursive.begin(), kIgnoredRecursive.end());
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace hull::runtime
