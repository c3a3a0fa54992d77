#include "kernel/mountinfo.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::kernel {

namespace {

bool is_octal(char c) {
    return c >= '0' && c <= '7';
}

/// Undoes the kernel's escapes: blank, tab, new line and backslash are \ooo (seq_file's mangle()).
std::string unescape(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] <= '3' && is_octal(text[i + 1]) &&
            is_octal(text[i + 2]) && is_octal(text[i + 3])) {
            out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                     (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

bool list_has(std::string_view list, std::string_view name) {
    auto words = split(list, ',');
    return std::find(words.begin(), words.end(), name) != words.end();
}

Result<MountEntry> parse_line(std::string_view line) {
    auto bad = [&] { return fail(Errc::invalid, "mountinfo: unexpected line " + quote(line)); };
    // "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue"
    auto words = split(line, ' ');
    auto dash = std::find(words.begin(), words.end(), std::string_view("-"));
    auto before = static_cast<size_t>(dash - words.begin());
    if (before < 6 || words.size() - before < 4) return bad();
    auto id = parse_number<uint64_t>(words[0]);
    auto parent = parse_number<uint64_t>(words[1]);
    auto device = split(words[2], ':');
    if (!id || !parent || device.size() != 2) return bad();
    auto device_major = parse_number<uint32_t>(device[0]);
    auto device_minor = parse_number<uint32_t>(device[1]);
    if (!device_major || !device_minor) return bad();
    MountEntry entry;
    entry.id = *id;
    entry.parent_id = *parent;
    entry.device_major = *device_major;
    entry.device_minor = *device_minor;
    entry.root = unescape(words[3]);
    entry.mount_point = unescape(words[4]);
    entry.options = std::string(words[5]);
    for (size_t i = 6; i < before; ++i)
        entry.optional += (entry.optional.empty() ? "" : " ") + std::string(words[i]);
    entry.type = unescape(words[before + 1]);
    entry.source = unescape(words[before + 2]);
    entry.super_options = unescape(words[before + 3]);
    return entry;
}

}  // namespace

bool MountEntry::has_option(std::string_view name) const {
    return list_has(options, name);
}

bool MountEntry::has_super_option(std::string_view name) const {
    return list_has(super_options, name);
}

Result<std::vector<MountEntry>> parse_mountinfo(std::string_view text) {
    std::vector<MountEntry> entries;
    for (std::string_view line : split(text, '\n')) {
        if (line.empty()) continue;
        entries.push_back(TRY(parse_line(line)));
    }
    return entries;
}

Result<std::vector<MountEntry>> read_mountinfo() {
    return read_mountinfo("/proc/self/mountinfo");
}

Result<std::vector<MountEntry>> read_mountinfo(const std::string& proc_path) {
    return parse_mountinfo(TRY(read_file(proc_path)));
}

std::vector<MountEntry> mounts_below(const std::vector<MountEntry>& all, std::string_view path) {
    std::vector<MountEntry> below;
    for (const MountEntry& entry : all) {
        std::string_view point = entry.mount_point;
        bool is_below =
            path == "/" || point == path ||
            (point.starts_with(path) && point.size() > path.size() && point[path.size()] == '/');
        if (is_below) below.push_back(entry);
    }
    std::stable_sort(below.begin(), below.end(), [](const MountEntry& a, const MountEntry& b) {
        return std::count(a.mount_point.begin(), a.mount_point.end(), '/') <
               std::count(b.mount_point.begin(), b.mount_point.end(), '/');
    });
    return below;
}

}  // namespace hull::kernel
