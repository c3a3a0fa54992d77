#include "engine/users.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace hull::engine {
namespace {

struct PasswdEntry {
    std::string_view name;
    uint32_t uid = 0;
    uint32_t gid = 0;
    std::string_view home;
};
struct GroupEntry {
    std::string_view name;
    uint32_t gid = 0;
    std::string_view members;
};

template <typename Visit>
void for_each_passwd(std::string_view text, Visit&& visit) {
    for (auto line : split_lines(text)) {
        auto fields = split(line, ':');
        if (fields.size() < 6) continue;
        auto uid = parse_number<uint32_t>(fields[2]);
        auto gid = parse_number<uint32_t>(fields[3]);
        if (uid && gid && visit(PasswdEntry{fields[0], *uid, *gid, fields[5]})) return;
    }
}

template <typename Visit>
void for_each_group(std::string_view text, Visit&& visit) {
    for (auto line : split_lines(text)) {
        auto fields = split(line, ':');
        if (fields.size() < 3) continue;
        auto gid = parse_number<uint32_t>(fields[2]);
        if (gid && visit(GroupEntry{fields[0], *gid, fields.size() > 3 ? fields[3] : ""})) return;
    }
}

Result<std::optional<uint32_t>> parse_id(std::string_view text, std::string_view what) {
    bool is_number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number) return std::nullopt;
    auto id = parse_number<uint32_t>(text);
    if (!id || *id > 0x7fffffffU)
        return fail(Errc::invalid, std::string(what) + " " + std::string(text) + " is too large",
                    "ids go up to 2147483647");
    return *id;
}

Result<uint32_t> resolve_group(std::string_view group, std::string_view group_file) {
    if (auto id = TRY(parse_id(group, "group"))) return *id;
    std::optional<uint32_t> found;
    for_each_group(group_file, [&](const GroupEntry& entry) {
        if (entry.name == group) found = entry.gid;
        return found.has_value();
    });
    if (found) return *found;
    return fail(
        Errc::not_found,
        "unable to find group " + std::string(group) + ": no matching entries in group file",
        "use a number, or a group of the image's /etc/group");
}

void add_member_groups(ResolvedUser& user, std::string_view group_file) {
    if (user.name.empty()) return;
    for_each_group(group_file, [&](const GroupEntry& entry) {
        for (auto member : split(entry.members, ','))
            if (member == user.name && entry.gid != user.gid) user.groups.push_back(entry.gid);
        return false;
    });
}

}  // namespace

Result<ResolvedUser> resolve_user(const std::string& user,
                                  const std::vector<std::string>& extra_groups,
                                  const ReadFile& read) {
    std::string passwd = TRY(read("/etc/passwd")).value_or("");
    std::string groups = TRY(read("/etc/group")).value_or("");
    std::string_view text = user.empty() ? std::string_view("0") : std::string_view(user);
    size_t colon = text.find(':');
    std::string_view name = text.substr(0, colon);
    if (name.empty()) name = "0";

    ResolvedUser out;
    auto uid = TRY(parse_id(name, "user"));
    bool found = false;
    for_each_passwd(passwd, [&](const PasswdEntry& entry) {
        found = uid ? entry.uid == *uid : entry.name == name;
        if (!found) return false;
        out.uid = entry.uid;
        out.gid = entry.gid;
        out.home = entry.home.empty() ? std::string("/") : std::string(entry.home);
        out.name = entry.name;
        return true;
    });
    if (!found && !uid)
        return fail(
            Errc::not_found,
            "unable to find user " + std::string(name) + ": no matching entries in passwd file",
            "use a number, or a user of the image's /etc/passwd");
    if (!found) {
        out.uid = *uid;
        if (*uid == 0) {
            out.home = "/root";
            out.name = "root";
        }
    }
    if (colon != std::string_view::npos && colon + 1 < text.size())
        out.gid = TRY(resolve_group(text.substr(colon + 1), groups));
    else
        add_member_groups(out, groups);
    for (const auto& group : extra_groups)
        out.groups.push_back(TRY(resolve_group(group, groups)));
    std::ranges::sort(out.groups);
    auto repeated = std::ranges::unique(out.groups);
    out.groups.erase(repeated.begin(), repeated.end());
    return out;
}

}  // namespace hull::engine
