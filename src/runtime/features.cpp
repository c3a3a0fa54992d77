#include "runtime/features.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/json_writer.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/features.hpp"
#include "kernel/resctrl.hpp"
#include "kernel/seccomp.hpp"
#include "runtime/mount_options.hpp"
#include "runtime/systemd_scope.hpp"
#include "spec/runtime.hpp"
#include "spec/seccomp_profile.hpp"

namespace hull::runtime {
namespace {

void write_enabled(JsonWriter& out, std::string_view name, bool is_enabled) {
    out.begin_object(name);
    out.field("enabled", is_enabled);
    out.end_object();
}

void write_cgroup(JsonWriter& out, const kernel::Features& features) {
    bool has_v1 = features.cgroup_kind == kernel::CgroupKind::v1 ||
                  features.cgroup_kind == kernel::CgroupKind::hybrid;
    bool has_v2 = features.cgroup_kind == kernel::CgroupKind::v2 ||
                  features.cgroup_kind == kernel::CgroupKind::hybrid;
    const auto& controllers = features.cgroup_controllers;
    out.begin_object("cgroup");
    out.field("v1", has_v1);
    out.field("v2", has_v2);
    out.field("systemd", has_systemd(false));
    out.field("systemdUser", has_systemd(true));
    out.field("rdma",
              std::find(controllers.begin(), controllers.end(), "rdma") != controllers.end());
    out.end_object();
}

void write_seccomp(JsonWriter& out, const kernel::Features& features) {
    out.begin_object("seccomp");
    out.field("enabled", features.seccomp);
    if (features.seccomp) {
        out.field("actions", spec::seccomp_profile_actions());
        out.field("operators", spec::seccomp_profile_operators());
        out.field("archs", spec::seccomp_profile_architectures());
        out.field("knownFlags", spec::seccomp_profile_flags());
        out.field("supportedFlags", features.seccomp_flags);
    }
    out.end_object();
}

void write_memory_policy(JsonWriter& out) {
    out.begin_object("memoryPolicy");
    out.field("modes", std::vector<std::string>{"MPOL_DEFAULT", "MPOL_BIND", "MPOL_INTERLEAVE",
                                                "MPOL_WEIGHTED_INTERLEAVE", "MPOL_PREFERRED",
                                                "MPOL_PREFERRED_MANY", "MPOL_LOCAL"});
    out.field("flags", std::vector<std::string>{"MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES",
                                                "MPOL_F_STATIC_NODES"});
    out.end_object();
}

void write_linux(JsonWriter& out, const kernel::Features& features) {
    out.begin_object("linux");
    out.field("namespaces", features.namespaces);
    out.field("capabilities", features.capabilities);
    write_cgroup(out, features);
    write_seccomp(out, features);
    write_enabled(out, "apparmor", features.apparmor);
    write_enabled(out, "selinux", features.selinux);
    const bool has_resctrl = kernel::find_resctrl().has_value();
    out.begin_object("intelRdt");
    for (const char* name : {"enabled", "schemata", "monitoring"})
        out.field(name, has_resctrl);
    out.end_object();
    write_memory_policy(out);
    out.begin_object("mountExtensions");
    write_enabled(out, "idmap", features.idmapped_mounts);
    out.end_object();
    write_enabled(out, "netDevices", true);
    out.end_object();
}

}  // namespace

std::string format_features() {
    kernel::Features features = kernel::probe_features();
    JsonWriter out{2};
    out.begin_object();
    out.field("ociVersionMin", "1.0.0");
    out.field("ociVersionMax", spec::kRuntimeSpecVersion);
    out.field("hooks", std::vector<std::string>{"prestart", "createRuntime", "createContainer",
                                                "startContainer", "poststart", "poststop"});
    out.field("mountOptions", known_mount_options());
    write_linux(out, features);
    out.begin_object("annotations");
    out.field("org.hull.runtime.version", HULL_VERSION);
    out.field("org.hull.kernel", features.release);
    out.field("org.hull.landlock.abi", std::to_string(features.landlock_abi));
    out.end_object();
    out.field("potentiallyUnsafeConfigAnnotations",
              std::vector<std::string>{
                  "org.systemd.property.", "run.oci.delegate-cgroup", "run.oci.hooks.stderr",
                  "run.oci.hooks.stdout", "run.oci.keep_original_groups", "run.oci.pidfd_receiver",
                  "run.oci.seccomp.receiver", "run.oci.seccomp_bpf_data",
                  "run.oci.systemd.force_cgroup_v1", "run.oci.systemd.subgroup"});
    out.end_object();
    return out.take();
}

}  // namespace hull::runtime
