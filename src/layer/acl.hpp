#pragma once

#include <string>
#include <utility>
#include <vector>

struct archive_entry;

namespace hull::layer {

/// POSIX ACLs that the archive carries as text (GNU tar's and bsdtar's SCHILY.acl records), added
/// to `xattrs` in the kernel's own form: system.posix_acl_access and system.posix_acl_default.
/// @see acl(5); linux/posix_acl_xattr.h.
void take_acls(archive_entry* entry, std::vector<std::pair<std::string, std::string>>& xattrs);

}  // namespace hull::layer
