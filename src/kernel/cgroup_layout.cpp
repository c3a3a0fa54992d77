#include <fcntl.h>

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/cgroup_file.hpp"
#include "kernel/kernel_file.hpp"

namespace hull::kernel {
namespace {

/// mountinfo writes blank, tab, newline and backslash as \ooo. proc(5)
std::string decode_octal(std::string_view text) {
    std::string decoded;
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 3 < text.size()) {
            if (auto value = parse_number<unsigned char>(text.substr(i + 1, 3), 8)) {
                decoded.push_back(static_cast<char>(*value));
                i += 3;
                continue;
            }
        }
        decoded.push_back(text[i]);
    }
    return decoded;
}

struct CgroupMount {
    bool is_v2 = false;
    std::string root;
    std::string mount_point;
    std::vector<std::string> options;  ///< of the super block: the controllers are among them
};

/// "36 35 98:0 /root /mount/point rw,noatime master:1 - type source options"
Result<std::vector<CgroupMount>> parse_cgroup_mounts(std::string_view mountinfo) {
    std::vector<CgroupMount> mounts;
    for (auto line : split_lines(mountinfo)) {
        if (line.empty()) continue;
        const size_t separator = line.find(" - ");
        if (separator == std::string_view::npos)
            return fail(Errc::invalid, "mountinfo line without a separator: " + quote(line));
        auto tail = split(line.substr(separator + 3), ' ');
        if (tail.size() < 3) return fail(Errc::invalid, "short mountinfo line: " + quote(line));
        if (tail[0] != "cgroup" && tail[0] != "cgroup2") continue;
        auto head = split(line.substr(0, separator), ' ');
        if (head.size() < 6) return fail(Errc::invalid, "short mountinfo line: " + quote(line));
        CgroupMount mount{.is_v2 = tail[0] == "cgroup2",
                          .root = decode_octal(head[3]),
                          .mount_point = decode_octal(head[4]),
                          .options = {}};
        for (auto option : split(tail.back(), ','))
            mount.options.emplace_back(option);
        mounts.push_back(std::move(mount));
    }
    return mounts;
}

/// The mount of a hierarchy that shows most of it: one of "/" before one of a part.
template <typename Predicate>
const CgroupMount* choose_mount(const std::vector<CgroupMount>& mounts, Predicate fits) {
    const CgroupMount* chosen = nullptr;
    for (const auto& mount : mounts) {
        if (!fits(mount)) continue;
        if (mount.root == "/") return &mount;
        if (chosen == nullptr) chosen = &mount;
    }
    return chosen;
}

}  // namespace

std::string CgroupV1Hierarchy::name() const {
    return join(controllers, ",");
}

CgroupMode CgroupLayout::mode() const {
    if (v1.empty()) return v2 ? CgroupMode::v2 : CgroupMode::none;
    // systemd's hybrid without controllers on v1 does not exist: name=systemd alone is still v1.
    return v2 ? CgroupMode::hybrid : CgroupMode::v1;
}

const CgroupV1Hierarchy* CgroupLayout::find_v1(std::string_view controller) const {
    for (const auto& hierarchy : v1)
        for (const auto& name : hierarchy.controllers)
            if (name == controller) return &hierarchy;
    return nullptr;
}

Result<CgroupLayout> parse_cgroup_layout(std::string_view mountinfo, std::string_view own_cgroups) {
    auto mounts = TRY(parse_cgroup_mounts(mountinfo));
    CgroupLayout layout;
    for (auto line : split_lines(own_cgroups)) {
        if (line.empty()) continue;
        // "4:memory:/path"; a path may hold colons.
        const size_t first = line.find(':');
        const size_t second =
            first == std::string_view::npos ? std::string_view::npos : line.find(':', first + 1);
        if (second == std::string_view::npos)
            return fail(Errc::invalid, "/proc/self/cgroup line is malformed: " + quote(line));
        auto names = line.substr(first + 1, second - first - 1);
        std::string own_path(line.substr(second + 1));
        if (names.empty()) {
            const auto* mount = choose_mount(mounts, [](const auto& m) { return m.is_v2; });
            if (mount == nullptr) continue;
            layout.v2 = CgroupV2Hierarchy{.mount_point = mount->mount_point,
                                          .mount_root = mount->root,
                                          .own_path = std::move(own_path),
                                          .controllers = {}};
            continue;
        }
        CgroupV1Hierarchy hierarchy;
        for (auto name : split(names, ','))
            hierarchy.controllers.emplace_back(name);
        const auto* mount = choose_mount(mounts, [&](const CgroupMount& m) {
            return !m.is_v2 &&
                   std::all_of(hierarchy.controllers.begin(), hierarchy.controllers.end(),
                               [&](const std::string& name) {
                                   return std::find(m.options.begin(), m.options.end(), name) !=
                                          m.options.end();
                               });
        });
        if (mount == nullptr) continue;
        hierarchy.mount_point = mount->mount_point;
        hierarchy.mount_root = mount->root;
        hierarchy.own_path = std::move(own_path);
        layout.v1.push_back(std::move(hierarchy));
    }
    return layout;
}

Result<const CgroupLayout*> cgroup_layout() {
    static std::optional<CgroupLayout> known;
    if (known) return &*known;
    auto mountinfo = TRY(with_context(read_file("/proc/self/mountinfo"), "find the cgroup mounts"));
    auto own = TRY(with_context(read_kernel_file("/proc/self/cgroup"), "find the cgroup mounts"));
    auto layout = TRY(with_context(parse_cgroup_layout(mountinfo, own), "find the cgroup mounts"));
    if (layout.v2) {
        auto text = TRY(read_file(join_path(layout.v2->mount_point, "cgroup.controllers")));
        for (auto name : split(trim(text), ' '))
            if (!name.empty()) layout.v2->controllers.emplace_back(name);
    }
    known = std::move(layout);
    return &*known;
}

}  // namespace hull::kernel
