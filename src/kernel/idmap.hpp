#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// `count` ids from `inside` on in a user namespace are those from `outside` on in its parent.
struct IdRange {
    uint32_t inside = 0;
    uint32_t outside = 0;
    uint32_t count = 0;
    bool operator==(const IdRange&) const = default;
};
using IdMap = std::vector<IdRange>;

/// The maps of one user namespace, user_namespaces(7).
struct IdMapping {
    IdMap users;
    IdMap groups;
    bool operator==(const IdMapping&) const = default;
    bool empty() const { return users.empty() && groups.empty(); }
};

/// "0 1000 1\n1 100000 65536\n": the form of /proc/PID/uid_map.
std::string format_id_map(const IdMap& map);
/// Inverse of format_id_map(). @errors invalid
Result<IdMap> parse_id_map(std::string_view text);
/// The kernel's rules: 1 to 340 ranges, none empty, none over 2^32-1, no overlap on either side.
/// @errors invalid: names the range. `what` is the field for the message ("linux.uidMappings").
Result<void> check_id_map(const IdMap& map, std::string_view what);
/// nullopt: not mapped.
std::optional<uint32_t> to_outside(const IdMap& map, uint32_t inside);
std::optional<uint32_t> to_inside(const IdMap& map, uint32_t outside);
/// 0..count-1 inside and outside alike.
IdMap identity_map(uint32_t count);
/// Number of ids that are mapped.
uint64_t mapped_count(const IdMap& map);

/// How the maps of a process's new user namespace are written.
enum class MapWriter {
    automatic,  ///< directly where the kernel allows it, else by the helpers
    direct,     ///< /proc/PID/{uid_map,setgroups,gid_map}
    helpers,    ///< newuidmap(1) and newgidmap(1), which check /etc/subuid
};
/// Writes the maps of `pid`, which must still be dumpable. Directly, an ordinary user can map only
/// one id, its own, and setgroups(2) is then denied inside.
/// @errors denied: names the missing right or the missing subuid range; not_found: no newuidmap
/// program (package uidmap).
Result<void> write_id_maps(pid_t pid, const IdMapping& mapping,
                           MapWriter writer = MapWriter::automatic);

/// A range that /etc/subuid or /etc/subgid gives to a user.
struct SubidRange {
    uint32_t first = 0;
    uint32_t count = 0;
    bool operator==(const SubidRange&) const = default;
};
enum class SubidKind { users, groups };

/// One line "owner:first:count" of subuid(5).
struct SubidEntry {
    std::string owner;  ///< a name or a decimal uid
    SubidRange range;
};
/// Parses the content of /etc/subuid. Comments and empty lines are skipped; `what` is the file's
/// name for the error. @errors invalid: names the line
Result<std::vector<SubidEntry>> parse_subid_file(std::string_view text, std::string_view what);
/// The ranges of a user, given by name or uid (each may be the key in the file), in order. Empty if
/// there are none. Read without NSS. @see subuid(5)
Result<std::vector<SubidRange>> find_subid_ranges(SubidKind kind, std::string_view user_name,
                                                  uid_t uid);

/// The name of a user in /etc/passwd, read without NSS; nullopt if it is not there.
std::optional<std::string> find_user_name(uid_t uid);

/// What maps an ordinary user's whole range: id 0 is the user itself, 1.. the user's ranges of
/// /etc/subuid and /etc/subgid. @errors not_found: no range, with the line to add as hint.
Result<IdMapping> full_range_mapping(uid_t uid, gid_t gid);

/// A new user namespace that has no maps yet, held by a child that does nothing else. Making it
/// takes most of the time of create_user_namespace(), and can be done before the maps are known.
class UnmappedUserNamespace {
  public:
    static Result<UnmappedUserNamespace> create();
    UnmappedUserNamespace(UnmappedUserNamespace&&) noexcept = default;
    UnmappedUserNamespace& operator=(UnmappedUserNamespace&&) = delete;
    /// Ends the child, and waits for that.
    ~UnmappedUserNamespace();

    /// Call once. @return  as create_user_namespace()
    Result<Fd> map(const IdMapping& mapping);

  private:
    UnmappedUserNamespace(pid_t pid, Fd pidfd, Fd hold)
        : pid_(pid), pidfd_(std::move(pidfd)), hold_(std::move(hold)) {}
    pid_t pid_;
    Fd pidfd_;  ///< closed: moved from
    Fd hold_;   ///< the child lives for as long as this end of its pipe is open
};

/// Descriptor of a user namespace with these maps and no process in it, for MOUNT_ATTR_IDMAP:
/// `outside` are the ids that files are shown as, `inside` those on disk. A short-lived child makes
/// it; needs CAP_SETUID and CAP_SETGID here.
Result<Fd> create_user_namespace(const IdMapping& mapping);

/// Moves this process, with one thread, into a new user namespace with the user's whole range
/// (0 = the user) and becomes 0:0 there; with `clone_flags`, other new namespaces of that owner as
/// well. Without any range in /etc/subuid only the user itself is mapped, when `allow_single` says
/// that this is enough.
struct FullRangeOptions {
    uint64_t clone_flags = 0;
    bool allow_single = false;
};
/// @return  the mapping that is in force.
Result<IdMapping> enter_user_namespace_with_full_range(FullRangeOptions options = {});

}  // namespace hull::kernel
