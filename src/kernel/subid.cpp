// /etc/subuid, /etc/subgid and /etc/passwd, read without NSS: part of idmap.hpp.

#include <sys/types.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/idmap.hpp"

namespace hull::kernel {

Result<std::vector<SubidEntry>> parse_subid_file(std::string_view text, std::string_view what) {
    std::vector<SubidEntry> entries;
    size_t number = 0;
    for (std::string_view line : split(text, '\n')) {
        ++number;
        line = trim(line);
        if (line.empty() || line[0] == '#') continue;
        auto fields = split(line, ':');
        std::optional<uint32_t> first;
        std::optional<uint32_t> count;
        if (fields.size() == 3 && !fields[0].empty()) {
            first = parse_number<uint32_t>(fields[1]);
            count = parse_number<uint32_t>(fields[2]);
        }
        if (!first || !count || uint64_t{*first} + *count > 0xFFFFFFFFU)
            return fail(Errc::invalid,
                        std::string(what) + ":" + std::to_string(number) + ": unexpected line " +
                            quote(line),
                        "a line is OWNER:FIRST:COUNT, see subuid(5)");
        if (*count == 0) continue;
        entries.push_back({std::string(fields[0]), {*first, *count}});
    }
    return entries;
}

Result<std::vector<SubidRange>> find_subid_ranges(SubidKind kind, std::string_view user_name,
                                                  uid_t uid) {
    std::string path = kind == SubidKind::users ? "/etc/subuid" : "/etc/subgid";
    auto text = read_file(path);
    if (!text) {
        if (text.error().code == Errc::not_found) return std::vector<SubidRange>{};
        return fail(std::move(text).error());
    }
    std::string number = std::to_string(uid);
    std::vector<SubidRange> ranges;
    for (const SubidEntry& entry : TRY(parse_subid_file(*text, path)))
        if ((!user_name.empty() && entry.owner == user_name) || entry.owner == number)
            ranges.push_back(entry.range);
    return ranges;
}

std::optional<std::string> find_user_name(uid_t uid) {
    auto text = read_file("/etc/passwd");
    if (!text) return std::nullopt;
    for (std::string_view line : split(*text, '\n')) {
        auto fields = split(line, ':');  // name:password:uid:…
        if (fields.size() < 3 || fields[0].empty()) continue;
        if (parse_number<uid_t>(fields[2]) == uid) return std::string(fields[0]);
    }
    return std::nullopt;
}

namespace {

/// Id 0 is `self`, 1.. are the ranges.
IdMap map_with_ranges(uint32_t self, const std::vector<SubidRange>& ranges) {
    IdMap map{{0, self, 1}};
    uint32_t next = 1;
    for (const SubidRange& range : ranges) {
        map.push_back({next, range.first, range.count});
        next += range.count;
    }
    return map;
}

}  // namespace

Result<IdMapping> full_range_mapping(uid_t uid, gid_t gid) {
    std::string name = find_user_name(uid).value_or("");
    auto users = TRY(find_subid_ranges(SubidKind::users, name, uid));
    auto groups = TRY(find_subid_ranges(SubidKind::groups, name, uid));
    if (users.empty() || groups.empty()) {
        std::string owner = name.empty() ? std::to_string(uid) : name;
        std::string file = users.empty() ? "/etc/subuid" : "/etc/subgid";
        return fail(
            Errc::not_found, "user " + owner + " has no range of ids in " + file,
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + owner);
    }
    IdMapping mapping{map_with_ranges(uid, users), map_with_ranges(gid, groups)};
    TRY(check_id_map(mapping.users, "/etc/subuid"));
    TRY(check_id_map(mapping.groups, "/etc/subgid"));
    return mapping;
}

}  // namespace hull::kernel
