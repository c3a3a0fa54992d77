// Starting a container: volumes, /etc files, user, bundle, monitor.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "engine/apparmor.hpp"
#include "engine/bundle.hpp"
#include "engine/engine.hpp"
#include "engine/etc_files.hpp"
#include "engine/image_files.hpp"
#include "engine/mounts.hpp"
#include "engine/ranges.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/idmap.hpp"
#include "kernel/landlock.hpp"
#include "kernel/lsm.hpp"
#include "spec/runtime_json.hpp"

namespace hull::engine {

/// What prepare_start() found out and made.
struct Engine::Prepared {
    BundleInputs bundle;
    std::vector<monitor::VolumeSeed> seeds;
    monitor::EtcFiles etc;
};

namespace {

struct RlimitName {
    std::string_view name;
    decltype(RLIMIT_CPU) number;
};
constexpr std::array<RlimitName, 16> kRlimits = {{{"core", RLIMIT_CORE},
                                                  {"cpu", RLIMIT_CPU},
                                                  {"data", RLIMIT_DATA},
                                                  {"fsize", RLIMIT_FSIZE},
                                                  {"locks", RLIMIT_LOCKS},
                                                  {"memlock", RLIMIT_MEMLOCK},
                                                  {"msgqueue", RLIMIT_MSGQUEUE},
                                                  {"nice", RLIMIT_NICE},
                                                  {"nofile", RLIMIT_NOFILE},
                                                  {"nproc", RLIMIT_NPROC},
                                                  {"rss", RLIMIT_RSS},
                                                  {"rtprio", RLIMIT_RTPRIO},
                                                  {"rttime", RLIMIT_RTTIME},
                                                  {"sigpending", RLIMIT_SIGPENDING},
                                                  {"stack", RLIMIT_STACK},
                                                  {"as", RLIMIT_AS}}};

/// Limits that this caller may not raise are lowered to what it may, with a warning.
Result<EffectiveRlimit> effective_rlimit(const Ulimit& wanted, std::vector<std::string>& warnings) {
    const auto* known = std::ranges::find(kRlimits, wanted.name, &RlimitName::name);
    if (known == kRlimits.end())
        return fail(Errc::invalid, "unknown ulimit " + quote(wanted.name),
                    "names are those of docker: nofile, nproc, core, …");
    std::string type = "RLIMIT_";
    for (char c : wanted.name)
        type += static_cast<char>(c - 'a' + 'A');
    EffectiveRlimit out{type, wanted.soft, wanted.hard};
    rlimit present{};
    auto effective = kernel::read_effective_capabilities();
    bool may_raise = effective && effective->has(kernel::parse_capability("sys_resource").value());
    if (may_raise || ::getrlimit(known->number, &present) < 0 || present.rlim_max >= wanted.hard)
        return out;
    warnings.push_back("--ulimit " + wanted.name + ": the hard limit " +
                       std::to_string(wanted.hard) + " is above this process's own (" +
                       std::to_string(present.rlim_max) + "), which is used");
    out.hard = present.rlim_max;
    out.soft = std::min<uint64_t>(out.soft, out.hard);
    return out;
}

/// Ids on disk to those of the host; root's containers only.
kernel::IdMapping mapping_of(const ContainerRecord& record) {
    kernel::IdMap map = {{0, record.range.first, record.range.count}};
    return {map, map};
}

std::vector<spec::IdMapping> to_spec(const kernel::IdMap& map) {
    std::vector<spec::IdMapping> out;
    for (const auto& range : map)
        out.push_back({range.inside, range.outside, range.count});
    return out;
}

/// The same ids on both sides. The kernel wants each range of a nested map to lie in one range of
/// the outer one.
kernel::IdMap unchanged(const kernel::IdMap& outer) {
    kernel::IdMap out;
    for (const auto& range : outer)
        out.push_back({range.inside, range.inside, range.count});
    return out;
}

/// The nested user namespace of an ordinary user's container: all ids of the monitor's, unchanged.
Result<kernel::IdMapping> rootless_identity(const Settings& settings) {
    auto whole = kernel::full_range_mapping(settings.uid, settings.gid);
    if (whole) return kernel::IdMapping{unchanged(whole->users), unchanged(whole->groups)};
    if (whole.error().code != Errc::not_found) return fail(std::move(whole).error());
    return kernel::IdMapping{kernel::identity_map(1), kernel::identity_map(1)};
}

bool is_empty_directory(const std::string& path) {
    auto names = list_directory(path);
    return names && names->empty();
}

std::vector<std::string> mount_options(const MountConfig& wanted) {
    std::vector<std::string> options{wanted.recursive ? "rbind" : "bind"};
    options.push_back(wanted.propagation.empty() ? "rprivate" : wanted.propagation);
    options.insert(options.end(), {"nosuid", "nodev"});
    if (wanted.read_only) options.insert(options.end(), {"ro", "rro"});
    return options;
}

Result<std::optional<spec::SeccompProfile>> load_seccomp(const std::string& path) {
    if (path.empty()) return std::optional<spec::SeccompProfile>();
    std::string text = TRY(with_context(read_file(path, 1U << 20U), "read the seccomp profile"));
    return TRY(spec::parse_seccomp_profile_text(text, path));
}

/// Limits need cgroups; an ordinary user has them only where they were delegated.
void warn_of_missing_cgroups(const Settings& settings, ContainerConfig& config) {
    if (!settings.is_rootless) return;
    bool wants_limits = config.memory > 0 || config.nano_cpus > 0 || config.cpu_shares ||
                        !config.cpuset_cpus.empty() ||
                        config.pids_limit != ContainerConfig{}.pids_limit;
    if (wants_limits)
        config.warnings.emplace_back(
            "limits on memory, CPU and processes are not applied: an ordinary user has no cgroup "
            "of its own here (delegate one with systemd, or run as root)");
}

/// The default profile is loaded when the first container needs it; one without it still has all
/// the other layers.
void prepare_apparmor(const ContainerConfig& config) {
    if (!kernel::is_apparmor_enabled() ||
        wanted_apparmor_profile(config) != kDefaultAppArmorProfile)
        return;
    auto loaded = load_default_apparmor_profile();
    if (loaded) return;
    const std::string text = "the container has no AppArmor profile: " + loaded.error().to_string();
    // What an ordinary user cannot mend is said by `inspect` alone.
    loaded.error().code == Errc::denied ? log::debug(text) : log::warning(text);
}

}  // namespace

std::string Engine::rootfs_directory(const std::string& id) const {
    return settings_.run_directory(id) + "/rootfs";
}

Result<store::SnapshotMounts> Engine::snapshot_of(LockedContainer& container) {
    if (!container.snapshot)
        container.snapshot = TRY(store::Snapshots(*TRY(store())).mounts(container.record.id));
    return *container.snapshot;
}

Result<spec::Mount> Engine::prepare_volume(const ContainerRecord& record, const MountConfig& wanted,
                                           Prepared& prepared) {
    std::string path = settings_.volume_path(wanted.source);
    TRY(create_volume_directory(wanted.source));
    TRY(database_.insert_volume(
        {wanted.source, format_timestamp(std::chrono::system_clock::now()), wanted.anonymous}));
    if (!wanted.no_copy && is_empty_directory(path))
        prepared.seeds.push_back({path, wanted.target});
    spec::Mount mount;
    mount.type = "bind";
    mount.source = path;
    mount.destination = wanted.target;
    mount.options = mount_options(wanted);
    if (!settings_.is_rootless) {
        mount.uid_mappings = {{0, record.range.first, record.range.count}};
        mount.gid_mappings = mount.uid_mappings;
    }
    return mount;
}

Result<spec::Mount> Engine::prepare_bind(const ContainerRecord& record, const MountConfig& wanted) {
    struct stat info{};
    if (::stat(wanted.source.c_str(), &info) < 0) {
        if (errno != ENOENT || !wanted.create_source)
            return fail_errno(errno, "bind mount: " + wanted.source, "make the source first");
        TRY(create_directories(wanted.source));
        if (::stat(wanted.source.c_str(), &info) < 0)
            return fail_errno(errno, "bind mount: " + wanted.source);
    }
    if (!record.config.allow_engine_socket) TRY(refuse_own_state(settings_, wanted.source));
    spec::Mount mount;
    mount.type = "bind";
    mount.source = wanted.source;
    mount.destination = wanted.target;
    mount.options = mount_options(wanted);
    if (settings_.is_rootless) return mount;
    if (!can_be_idmapped(wanted.source)) {
        log::warning("the file system of " + wanted.source +
                     " cannot be idmapped: in the container its files belong to nobody, and only "
                     "what everybody may read or write can be used");
        return mount;
    }
    auto fixed = TRY(prepare_hull_range()).bind_mounts;
    mount.uid_mappings = bind_id_mappings(info.st_uid, fixed, record.range);
    mount.gid_mappings = bind_id_mappings(info.st_gid, fixed, record.range);
    if (info.st_uid == 0 && !wanted.read_only)
        log::warning("root owns " + wanted.source +
                     ": what the container's root makes there belongs to the host's root (give the "
                     "folder to another user, or mount it :ro)");
    return mount;
}

Result<std::vector<spec::Mount>> Engine::prepare_mounts(LockedContainer& container,
                                                        Prepared& prepared) {
    const ContainerRecord& record = container.record;
    std::vector<spec::Mount> out;
    for (const auto& wanted : record.config.mounts) {
        if (wanted.kind == MountKind::volume)
            out.push_back(TRY(prepare_volume(record, wanted, prepared)));
        else if (wanted.kind == MountKind::bind)
            out.push_back(TRY(prepare_bind(record, wanted)));
    }
    std::ranges::stable_sort(out, {}, [](const spec::Mount& mount) {
        return std::ranges::count(mount.destination, '/');
    });
    std::string hostname =
        record.config.hostname.empty() ? record.id.substr(0, 12) : record.config.hostname;
    // An ordinary user's monitor is id 0 of its namespace, which is the user.
    const uint32_t owner = settings_.is_rootless ? 0 : record.range.first;
    prepared.etc =
        make_etc_files(settings_.run_directory(record.id) + "/etc", record.config, hostname, owner);
    for (const auto& file : prepared.etc.files) {
        const std::string target = "/etc/" + file.name;
        bool is_taken = std::ranges::any_of(
            out, [&](const spec::Mount& mount) { return mount.destination == target; });
        if (is_taken) continue;
        spec::Mount mount;
        mount.type = "bind";
        mount.source = prepared.etc.directory + "/" + file.name;
        mount.destination = target;
        mount.options = {"bind", "rprivate", "nosuid", "nodev", "noexec"};
        if (record.config.read_only) mount.options.emplace_back("ro");
        out.push_back(std::move(mount));
    }
    return out;
}

Result<Engine::Prepared> Engine::prepare_start(LockedContainer& container,
                                               const StartOptions& options) {
    ContainerRecord& record = container.record;
    Prepared out;
    auto snapshot = TRY(snapshot_of(container));
    std::vector<std::string> layers = snapshot.lower;
    layers.insert(layers.begin(), snapshot.upper);
    LayerView view = TRY(LayerView::open(layers));
    out.bundle.user =
        TRY(resolve_user(record.config.user, record.config.extra_groups,
                         [&](std::string_view path) { return view.read_file(path); }));
    if (settings_.is_rootless) {
        auto identity = TRY(rootless_identity(settings_));
        out.bundle.uid_mappings = to_spec(identity.users);
        out.bundle.gid_mappings = to_spec(identity.groups);
    } else {
        out.bundle.uid_mappings = to_spec(mapping_of(record).users);
        out.bundle.gid_mappings = out.bundle.uid_mappings;
    }
    warn_of_missing_cgroups(settings_, record.config);
    out.bundle.id = record.id;
    out.bundle.config = record.config;
    out.bundle.rootfs = rootfs_directory(record.id);
    out.bundle.has_cgroups = !settings_.is_rootless;
    out.bundle.has_landlock_scopes = kernel::landlock_abi() >= kLandlockScopesAbi;
    out.bundle.apparmor_profile = effective_apparmor_profile(record.config);
    out.bundle.console_size = options.console_size;
    out.bundle.own_seccomp = TRY(load_seccomp(record.config.seccomp_profile));
    for (const auto& limit : record.config.ulimits)
        out.bundle.rlimits.push_back(TRY(effective_rlimit(limit, record.config.warnings)));
    out.bundle.mounts = TRY(prepare_mounts(container, out));
    return out;
}

Result<spec::RuntimeConfig> Engine::plan_bundle(LockedContainer& container,
                                                const StartOptions& options) {
    auto prepared = TRY(prepare_start(container, options));
    return make_bundle_config(prepared.bundle);
}

namespace {

monitor::RootfsSettings rootfs_settings(const store::SnapshotMounts& snapshot,
                                        const ContainerRecord& record, std::string target) {
    monitor::RootfsSettings out;
    if (snapshot.driver == store::SnapshotDriver::copy) {
        out.copy = snapshot.upper;
    } else {
        out.lowers = snapshot.lower;
        out.upper = snapshot.upper;
        out.work = snapshot.work;
    }
    out.target = std::move(target);
    out.user_xattr = snapshot.userxattr;
    out.allow_suid = !record.config.no_new_privileges || record.config.privileged;
    out.is_volatile = record.auto_remove;
    if (snapshot.plain_ids) out.mapping = mapping_of(record);
    return out;
}

uint32_t outside_id(const std::vector<spec::IdMapping>& mappings, uint32_t id) {
    for (const auto& mapping : mappings)
        if (id >= mapping.container_id && id - mapping.container_id < mapping.size)
            return mapping.host_id + (id - mapping.container_id);
    return id;
}

Result<void> write_private_file(const std::string& path, std::string_view content) {
    Fd file = TRY(open_path(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    return write_all(file.get(), content);
}

}  // namespace

Result<MonitorConnection> Engine::start_prepared(LockedContainer& container,
                                                 const StartOptions& options) {
    const ContainerRecord& record = container.record;
    std::string directory = settings_.run_directory(record.id);
    auto rootfs = rootfs_settings(TRY(snapshot_of(container)), record, rootfs_directory(record.id));
    TRY(create_directories(rootfs.target, 0755));
    auto monitor = TRY(take_monitor(monitor::Purpose::container));
    TRY(monitor.mount(rootfs));

    prepare_apparmor(record.config);
    auto prepared = TRY(prepare_start(container, options));
    auto config = TRY(make_bundle_config(prepared.bundle));
    TRY(write_private_file(directory + "/config.json", spec::format_runtime_config(config)));
    TRY(create_directories(settings_.container_directory(record.id), 0700));
    monitor::MonitorSettings settings;
    settings.id = record.id;
    settings.directory = directory;
    settings.runtime = TRY(runtime_command(record.config));
    settings.own_runtime = uses_own_runtime(record.config);
    settings.rootless = settings_.is_rootless;
    settings.rootfs = std::move(rootfs);
    settings.seeds = std::move(prepared.seeds);
    settings.etc = std::move(prepared.etc);
    settings.terminal = record.config.terminal;
    settings.keep_stdin = record.config.open_stdin;
    settings.stdio_uid = outside_id(prepared.bundle.uid_mappings, prepared.bundle.user.uid);
    settings.stdio_gid = outside_id(prepared.bundle.gid_mappings, prepared.bundle.user.gid);
    settings.watch_oom = record.config.memory > 0;
    if (!record.config.log_disabled)
        settings.log = {settings_.log_path(record.id), record.config.log_max_size,
                        record.config.log_max_files};
    settings.on_exit = on_exit_command(record.id);
    return monitor.put_to_work(settings, options.wants);
}

Result<MonitorConnection> Engine::start(LockedContainer& container, const StartOptions& options) {
    ContainerRecord& record = container.record;
    if (record.intent != Intent::started) {
        record.intent = Intent::started;
        record.boot_id = monitor::boot_id();
        record.error.clear();
        TRY(database_.update(record));
    }
    auto started = start_prepared(container, options);
    if (started) return started;
    // Never ran: as if it had not been started.
    if (record.auto_remove) {
        (void)delete_everything(container, true);
    } else {
        record.intent = record.started_at.empty() ? Intent::created : Intent::exited;
        record.error = started.error().to_string_without_hint();
        (void)database_.update(record);
        (void)remove_tree(settings_.run_directory(record.id));
    }
    return started;
}

}  // namespace hull::engine
