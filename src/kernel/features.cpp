#include "kernel/features.hpp"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/fs_context.hpp"
#include "kernel/idmap.hpp"
#include "kernel/landlock.hpp"
#include "kernel/lsm.hpp"
#include "kernel/mount.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/process.hpp"
#include "kernel/uapi.hpp"

namespace hull::kernel {

std::string_view cgroup_kind_name(CgroupKind layout) {
    switch (layout) {
        case CgroupKind::v1:
            return "v1";
        case CgroupKind::hybrid:
            return "hybrid";
        case CgroupKind::v2:
            return "v2";
        case CgroupKind::none:
            break;
    }
    return "none";
}

KernelVersion parse_kernel_version(std::string_view release) {
    KernelVersion version;
    auto number_at_start = [](std::string_view text) {
        size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
        return parse_number<int>(text.substr(0, digits)).value_or(0);
    };
    version.major = number_at_start(release);
    size_t dot = release.find('.');
    if (dot != release.npos) version.minor = number_at_start(release.substr(dot + 1));
    return version;
}

KernelVersion kernel_version() {
    utsname name{};
    if (::uname(&name) < 0) return {};
    return parse_kernel_version(name.release);
}

namespace {

/// A call with arguments that cannot succeed: anything but ENOSYS says that the kernel has it.
bool has_system_call(long number) {
    return ::syscall(number, -1, nullptr, 0, nullptr, 0) >= 0 || errno != ENOSYS;
}

std::vector<std::string> words_of_file(const std::string& path) {
    std::vector<std::string> words;
    auto text = read_file(path, 1U << 20U);
    if (!text) return words;
    for (std::string_view line : split_lines(*text))
        for (std::string_view word : split(line, ' '))
            if (!trim(word).empty()) words.emplace_back(trim(word));
    return words;
}

std::vector<std::string> read_filesystems() {
    std::vector<std::string> names;
    auto text = read_file("/proc/filesystems", 1U << 20U);
    if (!text) return names;
    // "nodev\ttmpfs", "\text4"
    for (std::string_view line : split_lines(*text))
        if (size_t tab = line.find('\t'); tab != line.npos)
            names.emplace_back(line.substr(tab + 1));
    return names;
}

uint64_t magic_of(const char* path) {
    struct statfs info{};
    return ::statfs(path, &info) < 0 ? 0 : static_cast<uint64_t>(info.f_type);
}

CgroupKind find_cgroup_kind() {
    if (magic_of("/sys/fs/cgroup") == kCgroup2Magic) return CgroupKind::v2;
    if (magic_of("/sys/fs/cgroup/unified") == kCgroup2Magic) return CgroupKind::hybrid;
    auto entries = list_directory("/sys/fs/cgroup");
    if (!entries) return CgroupKind::none;
    for (const std::string& entry : *entries)
        if (magic_of(("/sys/fs/cgroup/" + entry).c_str()) == kCgroup1Magic) return CgroupKind::v1;
    return CgroupKind::none;
}

std::vector<std::string> find_cgroup_controllers(CgroupKind layout) {
    if (layout == CgroupKind::v2) return words_of_file("/sys/fs/cgroup/cgroup.controllers");
    std::vector<std::string> controllers;
    if (layout == CgroupKind::hybrid)
        controllers = words_of_file("/sys/fs/cgroup/unified/cgroup.controllers");
    if (layout == CgroupKind::none) return controllers;
    // "#subsys_name hierarchy num_cgroups enabled"; hierarchy 0 is the v2 tree.
    auto text = read_file("/proc/cgroups", 1U << 16U);
    if (!text) return controllers;
    for (std::string_view line : split_lines(*text)) {
        auto fields = split(line, '\t');
        if (fields.size() == 4 && !line.starts_with('#') && fields[1] != "0" && fields[3] == "1")
            controllers.emplace_back(fields[0]);
    }
    return controllers;
}

bool may_ordinary_users_make_user_namespaces() {
    auto is_zero = [](const char* path) {
        auto text = read_file(path, 4096);
        return text && trim(*text) == "0";
    };
    auto restricted = read_file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", 4096);
    return is_namespace_supported(NamespaceKind::user) &&
           !is_zero("/proc/sys/user/max_user_namespaces") &&
           !is_zero("/proc/sys/kernel/unprivileged_userns_clone") &&
           !(restricted && trim(*restricted) == "1");
}

Result<Fd> probe_tmpfs() {
    return create_mount({.type = "tmpfs", .source = "probe"});
}

bool can_idmap(int mount) {
    auto mapping = create_user_namespace({{{0, 1, 1}}, {{0, 1, 1}}});
    return mapping && set_mount_attributes(mount, {.idmap_namespace = mapping->get()});
}

bool can_mount_on_detached(int mount) {
    auto outer = probe_tmpfs();
    return outer && attach_mount(mount, outer->get());
}

bool can_set_overlay_layers_by_descriptor() {
    auto context = FsContext::open("overlay");
    auto layer = open_path("/", O_PATH | O_DIRECTORY);
    return context && layer && context->set_fd("lowerdir+", layer->get());
}

void probe_mounts(Features& features) {
    features.mount_api = has_system_call(SYS_fsopen) && has_system_call(SYS_move_mount);
    features.mount_setattr = has_system_call(SYS_mount_setattr);
    features.statmount = has_system_call(SYS_statmount);
    features.overlay_by_descriptor = can_set_overlay_layers_by_descriptor();
    if (auto mount = probe_tmpfs()) features.idmapped_mounts = can_idmap(mount->get());
    if (auto mount = probe_tmpfs())
        features.open_tree_in_detached = can_mount_on_detached(mount->get());
}

/// EFAULT: the flag is known, and the null program is what is wrong; EINVAL: it is not.
std::vector<std::string> find_seccomp_flags() {
    struct Flag {
        const char* name;
        unsigned long bits;
    };
    constexpr unsigned long kNewListener = 1UL << 3U;  // WAIT_KILLABLE_RECV goes with it only
    constexpr std::array kFlags = {Flag{"SECCOMP_FILTER_FLAG_TSYNC", 1UL << 0U},
                                   Flag{"SECCOMP_FILTER_FLAG_LOG", 1UL << 1U},
                                   Flag{"SECCOMP_FILTER_FLAG_SPEC_ALLOW", 1UL << 2U},
                                   Flag{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
                                        SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | kNewListener}};
    std::vector<std::string> known;
    for (const Flag& flag : kFlags)
        if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flag.bits, nullptr) < 0 &&
            errno == EFAULT)
            known.emplace_back(flag.name);
    return known;
}

void probe_seccomp(Features& features) {
    // EFAULT: filters are there, and the null program is what is wrong.
    bool filters =
        ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, nullptr, 0, 0) < 0 && errno == EFAULT;
    features.seccomp = filters;
    features.seccomp_actions = words_of_file("/proc/sys/kernel/seccomp/actions_avail");
    features.seccomp_flags = find_seccomp_flags();
    features.seccomp_notify =
        std::find(features.seccomp_actions.begin(), features.seccomp_actions.end(), "user_notif") !=
        features.seccomp_actions.end();
}

void probe_processes(Features& features) {
    features.pidfd = open_pidfd(::getpid()).has_value();
    // EBADF or EINVAL about the descriptor -1 that it is given; ENOSYS or E2BIG where it is not
    // known.
    CloneArgs args{};
    args.flags = CLONE_INTO_CGROUP;
    args.cgroup = 0x7FFFFFFF;
    features.clone_into_cgroup = ::syscall(SYS_clone3, &args, sizeof args) < 0 && errno == EBADF;
    features.keyrings = ::access("/proc/keys", F_OK) == 0;
}

}  // namespace

Features probe_features() {
    Features features;
    utsname name{};
    if (::uname(&name) == 0) {
        features.release = name.release;
        features.machine = name.machine;
    }
    for (NamespaceKind kind : kNamespaceKinds)
        if (is_namespace_supported(kind)) features.namespaces.emplace_back(namespace_name(kind));
    features.capabilities = capability_names(all_capabilities());
    features.filesystems = read_filesystems();
    features.lsms = active_lsms();
    features.cgroup_kind = find_cgroup_kind();
    features.cgroup_controllers = find_cgroup_controllers(features.cgroup_kind);
    features.landlock_abi = landlock_abi();
    features.apparmor = is_apparmor_enabled();
    features.selinux = is_selinux_enabled();
    features.openat2 = has_system_call(SYS_openat2);
    features.time_namespaces = is_namespace_supported(NamespaceKind::time);
    features.user_namespaces_for_users = may_ordinary_users_make_user_namespaces();
    features.intel_rdt = path_exists("/sys/fs/resctrl/schemata");
    probe_seccomp(features);
    probe_processes(features);
    probe_mounts(features);
    return features;
}

}  // namespace hull::kernel
