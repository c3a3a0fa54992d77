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

/// What the tools that make users take; setresuid(2) takes 4294967295 for "as it is", and the
/// process would stay root.
constexpr uint32_t kHighestId = 0x7fffffffU;

std::optional<uint32_t> read_id(std::string_view field) {
    auto id = parse_number<uint32_t>(field);
    return id && *id <= kHighestId ? id : std::nullopt;
}

/// Lines that are no entries, as those whose ids are none, are passed over.
template <typename Visit>
void for_each_passwd(std::string_view text, Visit&& visit) {
    for (auto line : split_lines(text)) {
        auto fields = split(line, ':');
        if (fields.size() < 6) continue;
        auto uid = read_id(fields[2]);
        auto gid = read_id(fields[3]);
        if (uid && gid && visit(PasswdEntry{fields[0], *uid, *gid, fields[5]})) return;
    }
}

template <typename Visit>
void for_each_group(std::string_view text, Visit&& visit) {
    for (auto line : split_lines(text)) {
        auto fields = split(line, ':');
        if (fields.size() < 3) continue;
        auto gid = read_id(fields[2]);
        if (gid && visit(GroupEntry{fields[0], *gid, fields.size() > 3 ? fields[3] : ""})) return;
    }
}

Result<std::optional<uint32_t>> parse_id(std::string_view text, std::string_view what) {
    bool is_number = !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
    if (!is_number) return std::nullopt;
    auto id = read_id(text);
    if (!id)
        return fail(Errc::invalid, std::string(what) + " " + std::string(text) + " is too large",
                    "ids go up to 2147483647");
    return *id;
}

/// What is said where a name was asked for and the file of names cannot be read.
tl::unexpected<Error> unreadable(Error error, std::string wanted) {
    if (error.hint.empty())
        error.hint = "use a number: it needs no look into the container's files";
    return fail(std::move(error).with_context(std::move(wanted)));
}

using NameFile = Result<std::optional<std::string>>;

std::string_view text_of(const NameFile& file) {
    return file && *file ? std::string_view(**file) : std::string_view();
}

Result<uint32_t> resolve_group(std::string_view group, const NameFile& group_file) {
    if (auto id = TRY(parse_id(group, "group"))) return *id;
    if (!group_file) return unreadable(group_file.error(), "find group " + std::string(group));
    std::optional<uint32_t> found;
    for_each_group(text_of(group_file), [&](const GroupEntry& entry) {
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
    // A file that cannot be read matters only to who asks for a name: a container that puts a link
    // or a pipe in its place must not lock its owner out of `exec -u 0`.
    const NameFile passwd_file = read("/etc/passwd");
    const NameFile group_file = read("/etc/group");
    std::string_view text = user.empty() ? std::string_view("0") : std::string_view(user);
    size_t colon = text.find(':');
    std::string_view name = text.substr(0, colon);
    if (name.empty()) name = "0";

    ResolvedUser out;
    auto uid = TRY(parse_id(name, "user"));
    bool found = false;
    for_each_passwd(text_of(passwd_file), [&](const PasswdEntry& entry) {
        found = uid ? entry.uid == *uid : entry.name == name;
        if (!found) return false;
        out.uid = entry.uid;
        out.gid = entry.gid;
        out.home = entry.home.empty() ? std::string("/") : std::string(entry.home);
        out.name = entry.name;
        return true;
    });
    if (!found && !uid) {
        if (!passwd_file) return unreadable(passwd_file.error(), "find user " + std::string(name));
        return fail(
            Errc::not_found,
            "unable to find user " + std::string(name) + ": no matching entries in passwd file",
            "use a number, or a user of the image's /etc/passwd");
    }
    if (!found) {
        out.uid = *uid;
        if (*uid == 0) {
            out.home = "/root";
            out.name = "root";
        }
    }
    if (colon != std::string_view::npos && colon + 1 < text.size())
        out.gid = TRY(resolve_group(text.substr(colon + 1), group_file));
    else
        add_member_groups(out, text_of(group_file));
    for (const auto& group : extra_groups)
        out.groups.push_back(TRY(resolve_group(group, group_file)));
    std::ranges::sort(out.groups);
    auto repeated = std::ranges::unique(out.groups);
    out.groups.erase(repeated.begin(), repeated.end());
    return out;
}

}  // namespace hull::engine
