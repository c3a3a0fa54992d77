#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.hpp"
#include "jail/step.hpp"
#include "kernel/netlink.hpp"
#include "kernel/process.hpp"

// Who the container is: its namespaces, ids, cgroups and names.

namespace hull::jail {

uid_t LaunchSetup::outside_uid(uid_t inside) const {
    if (is_inside || !plan->makes_new(NamespaceKind::user)) return inside;
    return kernel::to_outside(plan->id_map.users, inside).value_or(static_cast<uid_t>(-1));
}

gid_t LaunchSetup::outside_gid(gid_t inside) const {
    if (is_inside || !plan->makes_new(NamespaceKind::user)) return inside;
    return kernel::to_outside(plan->id_map.groups, inside).value_or(static_cast<gid_t>(-1));
}

Result<const kernel::Procfs*> ProgramSetup::proc() {
    if (!procfs) procfs = TRY(kernel::Procfs::create());
    return &*procfs;
}

Result<void> open_joined_namespaces(LaunchSetup& setup) {
    for (const auto& entry : setup.plan->namespaces) {
        if (entry.path.empty()) continue;
        auto fd =
            with_context(kernel::open_namespace(entry.path, entry.kind),
                         "linux.namespaces: " + std::string{kernel::namespace_name(entry.kind)});
        setup.joined.push_back({.kind = entry.kind, .fd = TRY(std::move(fd))});
    }
    return {};
}

Result<void> write_id_maps(LaunchSetup& setup) {
    if (!setup.plan->makes_new(NamespaceKind::user)) return {};
    return kernel::write_id_maps(setup.child, setup.plan->id_map, setup.request->map_writer);
}

namespace {

/// 0 where it is mapped, else the first id that is: files that we make need an owner.
uint32_t first_id(const kernel::IdMap& map) {
    if (map.empty() || kernel::to_outside(map, 0)) return 0;
    return map.front().inside;
}

}  // namespace

Result<void> become_root_inside(LaunchSetup& setup) {
    if (setup.plan->has_user_namespace()) {
        const auto& ids = setup.plan->id_map;
        const gid_t gid = first_id(ids.groups);
        const uid_t uid = first_id(ids.users);
        // The raw calls: glibc's would signal every thread, and there is one.
        if (::syscall(SYS_setresgid, gid, gid, gid) < 0)
            return fail_errno(errno, "become group " + std::to_string(gid) + " inside");
        if (::syscall(SYS_setresuid, uid, uid, uid) < 0)
            return fail_errno(errno, "become user " + std::to_string(uid) + " inside");
    }
    // From here on nobody in the container can look into us or take our descriptors
    // (CVE-2019-5736); not earlier, because a map is written through our /proc entry.
    return kernel::set_dumpable(false);
}

Result<void> join_namespaces(LaunchSetup& setup) {
    for (const auto& [kind, fd] : setup.joined) {
        // The middle process has joined these, which apply to children only.
        if (kind == NamespaceKind::user || kind == NamespaceKind::pid ||
            kind == NamespaceKind::time)
            continue;
        TRY(kernel::join_namespace(fd.get(), kind));
    }
    return {};
}

Result<void> join_cgroups(LaunchSetup& setup) {
    for (const int tasks : setup.request->cgroup_v1_tasks)
        // "0" is the writer; with one thread this does not take the lock of cgroup.procs.
        if (::write(tasks, "0", 1) != 1) return fail_errno(errno, "join a cgroup");
    // Not in clone3: the view would have its root at the parent's v1 cgroups.
    if (setup.plan->makes_new(NamespaceKind::cgroup))
        TRY(kernel::unshare_namespaces(CLONE_NEWCGROUP));
    const int delegated = setup.request->cgroup_v2_delegated;
    if (delegated >= 0 && ::write(delegated, "0", 1) != 1)
        return fail_errno(errno, "move to the delegated cgroup");
    return {};
}

Result<void> set_host_names(LaunchSetup& setup) {
    const auto& hostname = setup.plan->hostname;
    const auto& domainname = setup.plan->domainname;
    if (hostname && ::sethostname(hostname->data(), hostname->size()) < 0)
        return fail_errno(errno, "set hostname " + quote(*hostname));
    if (domainname && ::setdomainname(domainname->data(), domainname->size()) < 0)
        return fail_errno(errno, "set domainname " + quote(*domainname));
    return {};
}

Result<void> set_loopback_up(LaunchSetup& setup) {
    if (!setup.plan->makes_new(NamespaceKind::network)) return {};
    return kernel::bring_loopback_up();
}

Result<void> move_network_devices(LaunchSetup& setup) {
    if (setup.plan->network_devices.empty()) return {};
    const Fd target = TRY(kernel::open_namespace_of(setup.child, NamespaceKind::network));
    for (const auto& device : setup.plan->network_devices)
        TRY(with_context(kernel::move_network_device({.name = device.name,
                                                      .new_name = device.name_inside,
                                                      .network_namespace = target.get()}),
                         "linux.netDevices." + device.name));
    return {};
}

}  // namespace hull::jail
