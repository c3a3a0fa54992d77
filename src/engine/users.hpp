#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::engine {

/// Who a container's process runs as, by its own /etc/passwd and /etc/group.
struct ResolvedUser {
    uint32_t uid = 0;
    uint32_t gid = 0;
    std::vector<uint32_t> groups;  ///< supplementary, without `gid`
    std::string home = "/";
    std::string name;  ///< empty: has no entry
};

/// Gives a file's content; nullopt: not there.
using ReadFile = std::function<Result<std::optional<std::string>>(std::string_view path)>;

/// Resolves "", "NAME", "UID", "NAME:GROUP", "UID:GID" as docker does: names come from the
/// container's files only, never from the host. Lines that are no entry are skipped.
/// @param extra_groups  names or numbers (--group-add)
/// @errors not_found: a name that has no entry; invalid: a number over 2^31-1
Result<ResolvedUser> resolve_user(const std::string& user,
                                  const std::vector<std::string>& extra_groups,
                                  const ReadFile& read);

}  // namespace hull::engine
