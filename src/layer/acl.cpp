#include "layer/acl.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <tuple>

namespace hull::layer {
namespace {

constexpr uint32_t kVersion = 2;
constexpr uint32_t kNoId = 0xffffffff;

struct AclEntry {
    uint16_t tag = 0;
    uint16_t permissions = 0;
    uint32_t id = kNoId;
};

std::optional<uint16_t> kernel_tag(int tag) {
    switch (tag) {
        case ARCHIVE_ENTRY_ACL_USER_OBJ:
            return uint16_t{0x01};
        case ARCHIVE_ENTRY_ACL_USER:
            return uint16_t{0x02};
        case ARCHIVE_ENTRY_ACL_GROUP_OBJ:
            return uint16_t{0x04};
        case ARCHIVE_ENTRY_ACL_GROUP:
            return uint16_t{0x08};
        case ARCHIVE_ENTRY_ACL_MASK:
            return uint16_t{0x10};
        case ARCHIVE_ENTRY_ACL_OTHER:
            return uint16_t{0x20};
        default:
            return std::nullopt;
    }
}

void append_little_endian(std::string& out, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i, value >>= 8U)
        out.push_back(static_cast<char>(value & 0xffU));
}

/// Entries sorted by tag and id, as the kernel demands.
std::string encode(std::vector<AclEntry> entries) {
    std::sort(entries.begin(), entries.end(), [](const AclEntry& a, const AclEntry& b) {
        return std::tie(a.tag, a.id) < std::tie(b.tag, b.id);
    });
    std::string out;
    append_little_endian(out, kVersion, 4);
    for (const AclEntry& entry : entries) {
        append_little_endian(out, entry.tag, 2);
        append_little_endian(out, entry.permissions, 2);
        append_little_endian(out, entry.id, 4);
    }
    return out;
}

std::vector<AclEntry> read_entries(archive_entry* entry, int wanted) {
    std::vector<AclEntry> entries;
    if (archive_entry_acl_reset(entry, wanted) == 0) return entries;
    int type = 0;
    int permissions = 0;
    int tag = 0;
    int id = 0;
    const char* name = nullptr;
    while (archive_entry_acl_next(entry, wanted, &type, &permissions, &tag, &id, &name) ==
           ARCHIVE_OK) {
        auto known = kernel_tag(tag);
        if (!known) continue;
        bool has_id = tag == ARCHIVE_ENTRY_ACL_USER || tag == ARCHIVE_ENTRY_ACL_GROUP;
        entries.push_back({*known, static_cast<uint16_t>(permissions & 7),
                           has_id ? static_cast<uint32_t>(id) : kNoId});
    }
    return entries;
}

}  // namespace

void take_acls(archive_entry* entry, std::vector<std::pair<std::string, std::string>>& xattrs) {
    if ((archive_entry_acl_types(entry) & ARCHIVE_ENTRY_ACL_TYPE_POSIX1E) == 0) return;
    for (auto [wanted, name] : {std::pair{ARCHIVE_ENTRY_ACL_TYPE_ACCESS, "system.posix_acl_access"},
                                {ARCHIVE_ENTRY_ACL_TYPE_DEFAULT, "system.posix_acl_default"}}) {
        std::vector<AclEntry> entries = read_entries(entry, wanted);
        bool is_known = std::any_of(xattrs.begin(), xattrs.end(),
                                    [&](const auto& xattr) { return xattr.first == name; });
        if (!entries.empty() && !is_known) xattrs.emplace_back(name, encode(std::move(entries)));
    }
}

}  // namespace hull::layer
