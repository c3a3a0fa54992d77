#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/cgroup.hpp"
#include "kernel/cgroup_file.hpp"

namespace hull::kernel {
namespace {

/// `base`/`sub`, where `sub` stays below and exists.
Result<std::string> below(const std::string& base, std::string_view sub) {
    const std::string path = clean_path(base + "/" + clean_path("/" + std::string(sub)));
    if (access(path.c_str(), F_OK) != 0)
        return fail_errno(errno, "cgroup " + path,
                          "the container has made no cgroup of this name in itself");
    return path;
}

}  // namespace

Result<CgroupPaths> sub_cgroup_paths(const CgroupPaths& paths, std::string_view sub) {
    CgroupPaths result = paths;
    const size_t colon = sub.find(':');
    const std::string_view tail = colon == std::string_view::npos ? sub : sub.substr(colon + 1);
    if (tail.empty())
        return fail(Errc::invalid, "cgroup " + quote(sub) + ": the path is empty",
                    "give PATH or CONTROLLER[,CONTROLLER]:PATH");
    for (auto part : split(tail, '/'))
        if (part == "..")
            return fail(Errc::invalid, "cgroup " + quote(sub) + " leaves the container's cgroup",
                        "name a cgroup below it, without ..");
    if (colon == std::string_view::npos) {
        for (auto& [name, path] : result.v1)
            path = TRY(below(path, tail));
        if (!result.v2.empty()) {
            auto path = below(result.v2, tail);
            // Beside v1 the container may have made it in the v1 hierarchies only.
            if (path)
                result.v2 = std::move(*path);
            else if (result.v1.empty())
                return fail(std::move(path).error());
        }
        return result;
    }
    if (result.v1.empty())
        return fail(Errc::invalid, "cgroup " + quote(sub) + ": v2 has no controllers to name",
                    "give the path alone");
    for (auto controller : split(sub.substr(0, colon), ',')) {
        auto found = std::find_if(result.v1.begin(), result.v1.end(), [&](const auto& entry) {
            return has_controller(entry.first, controller);
        });
        if (found == result.v1.end())
            return fail(
                Errc::invalid,
                "cgroup " + quote(sub) + ": no hierarchy has the controller " + quote(controller),
                "see /proc/PID/cgroup of the container for their names");
        found->second = TRY(below(found->second, tail));
    }
    return result;
}

Result<CgroupPaths> cgroup_paths_of(pid_t pid) {
    const CgroupLayout* layout = TRY(cgroup_layout());
    const std::string file = fmt::format("/proc/{}/cgroup", pid);
    const std::string text = TRY(read_file(file));
    CgroupPaths paths;
    for (auto line : split_lines(text)) {
        const size_t first = line.find(':');
        const size_t second =
            first == std::string_view::npos ? std::string_view::npos : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        const std::string names(line.substr(first + 1, second - first - 1));
        const std::string path(line.substr(second + 1));
        if (names.empty()) {
            if (layout->v2) paths.v2 = clean_path(layout->v2->mount_point + path);
            continue;
        }
        for (const auto& hierarchy : layout->v1)
            if (hierarchy.name() == names)
                paths.v1.emplace_back(names, clean_path(hierarchy.mount_point + path));
    }
    return paths;
}

}  // namespace hull::kernel
