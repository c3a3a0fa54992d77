#include "kernel/cgroup_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/cgroup_file.hpp"
#include "kernel/cgroup_v1.hpp"

namespace hull::kernel {
namespace {

Result<void> inherit_from_parent(const std::string& path, CgroupApply apply) {
    auto child = TRY(open_path(path, O_PATH | O_DIRECTORY));
    return with_context(inherit_cpuset(child.get(), apply), "set up " + path);
}

tl::unexpected<Error> make_failed(int code, const std::string& path) {
    Error error = errno_error(code, "make cgroup " + path);
    if (code == EROFS) error.code = Errc::denied;
    if (error.code == Errc::denied)
        error.hint = "run as root, or have systemd delegate a cgroup to this user";
    if (code == EAGAIN) error.hint = "the limit cgroup.max.descendants or .depth is reached";
    return fail(std::move(error));
}

}  // namespace

Result<bool> make_cgroup_directory(const std::string& mount_point, const std::string& path,
                                   bool is_cpuset) {
    // Another process may remove an empty parent in between: then its making is tried again.
    for (int attempt = 0; attempt < 16; ++attempt) {
        if (mkdir(path.c_str(), 0755) == 0) {
            if (is_cpuset) {
                if (auto inherited = inherit_from_parent(path, {.is_new = true}); !inherited) {
                    rmdir(path.c_str());
                    return fail(std::move(inherited).error());
                }
            }
            return true;
        }
        const int code = errno;
        if (code == EEXIST) {
            if (is_cpuset && path.size() > mount_point.size()) TRY(inherit_from_parent(path, {}));
            return false;
        }
        if (code != ENOENT || path.size() <= mount_point.size()) return make_failed(code, path);
        TRY(make_cgroup_directory(mount_point, parent_path(path), is_cpuset));
    }
    return make_failed(ENOENT, path);
}

std::vector<std::string> nested_cgroups(const std::string& path) {
    std::vector<std::string> names;
    std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path.c_str()), closedir);
    if (!directory) return names;
    while (const dirent* entry = readdir(directory.get())) {
        const std::string_view name = entry->d_name;
        if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
    }
    return names;
}

Result<std::vector<pid_t>> cgroup_processes(const std::string& path, bool recursive) {
    std::vector<pid_t> pids;
    auto text = read_file(join_path(path, "cgroup.procs"));
    if (!text) {
        // Gone, or threaded: its processes are listed in the domain above.
        const int code = text.error().sys_errno;
        if (code != ENOENT && code != ENODEV && code != EOPNOTSUPP)
            return fail(std::move(text).error());
    } else {
        for (auto line : split_lines(*text))
            if (auto pid = parse_number<pid_t>(line); pid && *pid > 0) pids.push_back(*pid);
    }
    if (!recursive) return pids;
    for (const auto& name : nested_cgroups(path)) {
        auto nested = TRY(cgroup_processes(join_path(path, name), true));
        pids.insert(pids.end(), nested.begin(), nested.end());
    }
    return pids;
}

Result<bool> try_remove_cgroup(const std::string& path) {
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return true;
    if (errno != EBUSY && errno != ENOTEMPTY) return fail_errno(errno, "remove cgroup " + path);
    bool all_gone = true;
    for (const auto& name : nested_cgroups(path))
        if (!TRY(try_remove_cgroup(join_path(path, name)))) all_gone = false;
    if (!all_gone) return false;
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return true;
    if (errno == EBUSY || errno == ENOTEMPTY) return false;
    return fail_errno(errno, "remove cgroup " + path);
}

}  // namespace hull::kernel
