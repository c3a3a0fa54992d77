#include "engine/bundle.hpp"

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/text.hpp"
#include "kernel/capabilities.hpp"
#include "spec/runtime_defaults.hpp"

namespace hull::engine {
namespace {

constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr uint64_t kCpuPeriod = 100'000;  // µs
constexpr uint64_t kDefaultTmpfsSize = 64U << 20U;
constexpr uint64_t kDevSize = 64U << 20U;

std::vector<std::string> known_capabilities() {
    return kernel::capability_names(kernel::all_capabilities());
}

std::string format_octal(uint32_t mode) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "%o", mode);
    return text.data();
}

spec::Mount make_mount(std::string_view type, std::string_view target,
                       std::vector<std::string> options) {
    spec::Mount mount;
    mount.type = type;
    mount.source = type;
    mount.destination = target;
    mount.options = std::move(options);
    return mount;
}

/// No more files than pages: what they take besides is memory of the kernel's, which nothing else
/// here limits and which stays when the processes are killed.
std::vector<std::string> tmpfs_limits(uint64_t bytes) {
    constexpr uint64_t kPage = 4096;
    return {"size=" + std::to_string(bytes),
            "nr_inodes=" + std::to_string(std::max<uint64_t>(bytes / kPage, 16))};
}

void append(std::vector<std::string>& options, std::vector<std::string> more) {
    for (auto& option : more)
        options.push_back(std::move(option));
}

uint32_t mapped_ids(const std::vector<spec::IdMapping>& mappings) {
    uint32_t count = 0;
    for (const auto& mapping : mappings)
        count = std::max(count, mapping.container_id + mapping.size);
    return count;
}

/// A sysfs of one's own needs a network namespace of one's own; else the host's is shown, all of it
/// read-only.
spec::Mount make_sys_mount(const ContainerConfig& config) {
    if (config.network != NetworkMode::host) {
        std::vector<std::string> options{"nosuid", "noexec", "nodev"};
        if (!config.privileged) options.emplace_back("ro");
        return make_mount("sysfs", "/sys", std::move(options));
    }
    spec::Mount mount =
        make_mount("bind", "/sys", {"rbind", "rslave", "nosuid", "noexec", "nodev", "ro", "rro"});
    mount.source = "/sys";
    return mount;
}

std::vector<spec::Mount> standard_mounts(const BundleInputs& inputs) {
    const auto& config = inputs.config;
    std::vector<std::string> pts{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
    if (mapped_ids(inputs.gid_mappings) > 5) pts.emplace_back("gid=5");
    std::vector<std::string> cgroup{"nosuid", "noexec", "nodev", "relatime"};
    if (!config.privileged) cgroup.emplace_back("ro");
    std::vector<spec::Mount> mounts;
    mounts.push_back(make_mount("proc", "/proc", {"nosuid", "noexec", "nodev"}));
    std::vector<std::string> dev{"nosuid", "strictatime", "mode=755"};
    append(dev, tmpfs_limits(kDevSize));
    if (config.read_only) dev.emplace_back("ro");  // nothing but what was asked for is writable
    mounts.push_back(make_mount("tmpfs", "/dev", std::move(dev)));
    mounts.push_back(make_mount("devpts", "/dev/pts", std::move(pts)));
    mounts.push_back(make_sys_mount(config));
    mounts.push_back(make_mount("cgroup", "/sys/fs/cgroup", std::move(cgroup)));
    mounts.push_back(make_mount("mqueue", "/dev/mqueue", {"nosuid", "noexec", "nodev"}));
    std::vector<std::string> shm{"nosuid", "noexec", "nodev", "mode=1777"};
    append(shm, tmpfs_limits(config.shm_size));
    mounts.push_back(make_mount("tmpfs", "/dev/shm", std::move(shm)));
    mounts.back().source = "shm";
    return mounts;
}

std::vector<spec::Mount> tmpfs_mounts(const ContainerConfig& config) {
    std::vector<spec::Mount> mounts;
    for (const auto& wanted : config.mounts) {
        if (wanted.kind != MountKind::tmpfs) continue;
        uint64_t size = wanted.tmpfs_size != 0 ? wanted.tmpfs_size : kDefaultTmpfsSize;
        std::string mode = format_octal(wanted.tmpfs_mode.value_or(01777));
        std::vector<std::string> options{"nosuid", "nodev", "noexec", "mode=" + mode};
        append(options, tmpfs_limits(size));
        if (wanted.read_only) options.emplace_back("ro");
        mounts.push_back(make_mount("tmpfs", wanted.target, std::move(options)));
    }
    return mounts;
}

std::vector<spec::DeviceCgroupRule> device_rules() {
    struct Allowed {
        const char* type;
        int64_t major;
        int64_t minor;
    };
    // null, zero, full, random, urandom, tty, console, ptmx; minor -1 is any: the pts.
    constexpr std::array<Allowed, 9> allowed = {{{"c", 1, 3},
                                                 {"c", 1, 5},
                                                 {"c", 1, 7},
                                                 {"c", 1, 8},
                                                 {"c", 1, 9},
                                                 {"c", 5, 0},
                                                 {"c", 5, 1},
                                                 {"c", 5, 2},
                                                 {"c", 136, -1}}};
    std::vector<spec::DeviceCgroupRule> rules;
    rules.push_back({.allow = false, .access = "rwm"});
    for (const auto& device : allowed) {
        spec::DeviceCgroupRule rule{.allow = true, .type = device.type, .access = "rw"};
        rule.major = device.major;
        if (device.minor >= 0) rule.minor = device.minor;
        rules.push_back(std::move(rule));
    }
    return rules;
}

spec::Resources make_resources(const ContainerConfig& config) {
    spec::Resources out;
    out.devices = device_rules();
    if (config.pids_limit > 0) out.pids_limit = config.pids_limit;
    if (config.memory > 0) {
        spec::MemoryResources memory;
        memory.limit = static_cast<int64_t>(config.memory);
        // As in docker: without --memory-swap as much swap again.
        memory.swap = config.memory_swap ? *config.memory_swap : 2 * *memory.limit;
        out.memory = memory;
    }
    spec::CpuResources cpu;
    if (config.nano_cpus > 0) {
        cpu.period = kCpuPeriod;
        cpu.quota = static_cast<int64_t>(config.nano_cpus * kCpuPeriod / 1'000'000'000);
    }
    if (config.cpu_shares) cpu.shares = config.cpu_shares;
    if (!config.cpuset_cpus.empty()) cpu.cpus = config.cpuset_cpus;
    if (!(cpu == spec::CpuResources{})) out.cpu = cpu;
    return out;
}

Result<spec::Capabilities> make_capabilities(const ContainerConfig& config, uint32_t uid) {
    spec::Capabilities out;
    out.bounding = TRY(effective_capabilities(config));
    if (uid == 0) {
        out.permitted = out.bounding;
        out.effective = out.bounding;
        return out;
    }
    // A non-root user has none, but those that were asked for by name: these it can only get as
    // ambient ones.
    for (const auto& name : config.cap_add)
        if (name != "ALL" && std::ranges::find(out.bounding, name) != out.bounding.end())
            out.ambient.push_back(name);
    out.permitted = out.effective = out.inheritable = out.ambient;
    return out;
}

std::vector<std::string> process_environment(const BundleInputs& inputs,
                                             const std::string& hostname) {
    std::vector<std::string> env;
    if (!has_environment(inputs.config.env, "PATH")) env.emplace_back(kDefaultPath);
    env.push_back("HOSTNAME=" + hostname);
    if (inputs.config.terminal) env.emplace_back("TERM=xterm");
    for (const auto& entry : inputs.config.env)
        set_environment(env, entry);
    if (!has_environment(env, "HOME")) env.push_back("HOME=" + inputs.user.home);
    return env;
}

Result<spec::Process> make_process(const BundleInputs& inputs, const std::string& hostname) {
    const auto& config = inputs.config;
    spec::Process process;
    process.args = process_args(config);
    if (process.args.empty())
        return fail(Errc::invalid, "no command: the image has neither entrypoint nor command",
                    "give one: hull run IMAGE COMMAND");
    process.terminal = config.terminal;
    process.console_size = inputs.console_size;
    process.user.uid = inputs.user.uid;
    process.user.gid = inputs.user.gid;
    process.user.additional_gids = inputs.user.groups;
    process.env = process_environment(inputs, hostname);
    process.cwd = config.working_dir.empty() ? "/" : config.working_dir;
    process.capabilities = TRY(make_capabilities(config, inputs.user.uid));
    process.no_new_privileges = config.no_new_privileges && !config.privileged;
    process.apparmor_profile = inputs.apparmor_profile;
    for (const auto& limit : inputs.rlimits)
        process.rlimits.push_back({limit.type, limit.soft, limit.hard});
    return process;
}

void set_namespaces(spec::Linux& out, const ContainerConfig& config) {
    for (const char* type : {"user", "mount", "pid", "ipc", "uts", "cgroup"})
        out.namespaces.push_back({type, ""});
    if (config.network != NetworkMode::host) out.namespaces.push_back({"network", ""});
}

void set_sysctls(spec::Linux& out, const BundleInputs& inputs) {
    if (inputs.config.network != NetworkMode::host) {
        uint32_t count = mapped_ids(inputs.gid_mappings);
        out.sysctl.emplace_back("net.ipv4.ip_unprivileged_port_start", "0");
        out.sysctl.emplace_back("net.ipv4.ping_group_range", "0 " + std::to_string(count - 1));
    }
    for (const auto& [name, value] : inputs.config.sysctls) {
        std::erase_if(out.sysctl, [&](const auto& entry) { return entry.first == name; });
        out.sysctl.emplace_back(name, value);
    }
}

}  // namespace

Result<spec::RuntimeConfig> make_bundle_config(const BundleInputs& inputs) {
    const auto& config = inputs.config;
    std::string hostname = config.hostname.empty() ? inputs.id.substr(0, 12) : config.hostname;
    spec::RuntimeConfig out;
    out.oci_version = "1.2.0";
    out.root = spec::Root{inputs.rootfs, config.read_only};
    out.hostname = hostname;
    out.process = TRY(make_process(inputs, hostname));
    out.mounts = standard_mounts(inputs);
    auto add = [&](std::vector<spec::Mount> mounts) {
        for (auto& mount : mounts)
            out.mounts.push_back(std::move(mount));
    };
    add(tmpfs_mounts(config));
    add(inputs.mounts);
    set_namespaces(out.linux_, config);
    out.linux_.uid_mappings = inputs.uid_mappings;
    out.linux_.gid_mappings = inputs.gid_mappings;
    set_sysctls(out.linux_, inputs);
    if (inputs.has_cgroups) {
        // Without a folder above, which would outlive the last container.
        out.linux_.cgroups_path = "/hull-" + inputs.id;
        out.linux_.resources = make_resources(config);
    }
    if (!config.privileged) {
        out.linux_.masked_paths = spec::default_masked_paths();
        out.linux_.readonly_paths = spec::default_readonly_paths();
    }
    if (inputs.has_landlock_scopes && applies_landlock(config))
        out.annotations.emplace_back("org.hull.landlock",
                                     R"({"scopes":["signal","abstract-socket"]})");
    if (inputs.own_seccomp)
        out.linux_.seccomp = inputs.own_seccomp;
    else if (!config.seccomp_unconfined && !config.privileged)
        out.linux_.seccomp = spec::default_seccomp_profile();
    return out;
}

Result<spec::Process> make_exec_process(const spec::Process& container, const ExecInputs& inputs) {
    if (inputs.args.empty()) return fail(Errc::invalid, "exec needs a command");
    spec::Process process = container;
    process.args = inputs.args;
    process.terminal = inputs.terminal;
    process.console_size = inputs.console_size;
    if (!inputs.working_dir.empty()) process.cwd = inputs.working_dir;
    if (inputs.is_other_user) {
        process.user.uid = inputs.user.uid;
        process.user.gid = inputs.user.gid;
        process.user.additional_gids = inputs.user.groups;
        set_environment(process.env, "HOME=" + inputs.user.home);
    }
    if (inputs.terminal && !has_environment(process.env, "TERM"))
        process.env.emplace_back("TERM=xterm");
    for (const auto& entry : inputs.env)
        set_environment(process.env, entry);
    spec::Capabilities capabilities = process.capabilities.value_or(spec::Capabilities{});
    if (inputs.privileged) capabilities.bounding = known_capabilities();
    if (process.user.uid == 0 || inputs.privileged) {
        capabilities.effective = capabilities.permitted = capabilities.bounding;
    } else if (inputs.is_other_user) {
        capabilities = {.bounding = capabilities.bounding};
    }
    if (process.user.uid == 0) capabilities.ambient = capabilities.inheritable = {};
    process.capabilities = std::move(capabilities);
    return process;
}

Result<std::vector<std::string>> effective_capabilities(const ContainerConfig& config) {
    auto known = known_capabilities();
    auto check = [&](const std::string& name) -> Result<void> {
        if (name == "ALL" || std::ranges::find(known, name) != known.end()) return {};
        auto closest = closest_match(name, known);
        return fail(Errc::invalid, "unknown capability " + quote(name),
                    closest ? "did you mean " + *closest + "?" : "capabilities(7) lists them");
    };
    std::vector<std::string> out = config.privileged ? known : spec::default_capabilities();
    for (const auto& name : config.cap_drop) {
        TRY(check(name));
        if (name == "ALL")
            out.clear();
        else
            std::erase(out, name);
    }
    for (const auto& name : config.cap_add) {
        TRY(check(name));
        if (name == "ALL")
            out = known;
        else if (std::ranges::find(out, name) == out.end())
            out.push_back(name);
    }
    return out;
}

bool applies_landlock(const ContainerConfig& config) {
    auto has_all = [](const std::string& name) { return name == "CAP_SYS_ADMIN" || name == "ALL"; };
    return !config.privileged && std::ranges::none_of(config.cap_add, has_all);
}

std::vector<std::string> process_args(const ContainerConfig& config) {
    std::vector<std::string> args = config.entrypoint;
    args.insert(args.end(), config.command.begin(), config.command.end());
    return args;
}

void set_environment(std::vector<std::string>& env, const std::string& name_and_value) {
    std::string name = name_and_value.substr(0, name_and_value.find('=') + 1);
    for (auto& entry : env) {
        if (!entry.starts_with(name)) continue;
        entry = name_and_value;
        return;
    }
    env.push_back(name_and_value);
}

bool has_environment(const std::vector<std::string>& env, std::string_view name) {
    return std::ranges::any_of(env, [&](const std::string& entry) {
        return entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=';
    });
}

std::vector<std::string> weakening_warnings(const ContainerConfig& config) {
    std::vector<std::string> out;
    if (config.privileged)
        out.emplace_back(
            "--privileged: every capability, no seccomp filter, no masked or read-only kernel "
            "files, setuid programs work; only the user namespace still stands between the "
            "container and the host");
    for (const auto& name : config.cap_add) {
        if (name == "CAP_SYS_ADMIN" || name == "ALL")
            out.push_back("--cap-add " + name +
                          ": the container may mount and make namespaces of its own; much more of "
                          "the kernel can be reached from it");
        else if (name == "CAP_SYS_PTRACE" || name == "CAP_SYS_MODULE" || name == "CAP_NET_ADMIN" ||
                 name == "CAP_NET_RAW" || name == "CAP_SYS_RAWIO" || name == "CAP_BPF")
            out.push_back("--cap-add " + name +
                          ": not among the default capabilities; more of the kernel can be "
                          "reached from the container");
    }
    if (config.seccomp_unconfined && !config.privileged)
        out.emplace_back(
            "--security-opt seccomp=unconfined: every system call of the kernel can be reached "
            "from the container");
    if (config.apparmor_profile == "unconfined" && !config.privileged)
        out.emplace_back(
            "--security-opt apparmor=unconfined: no AppArmor profile stands behind the other "
            "layers");
    if (!config.no_new_privileges && !config.privileged)
        out.emplace_back(
            "--security-opt no-new-privileges=false: setuid programs of the image gain their "
            "owner's rights inside the container");
    if (config.network == NetworkMode::host)
        out.emplace_back(
            "--network host: the container sees and uses the host's interfaces, abstract sockets "
            "and services on 127.0.0.1");
    if (config.allow_engine_socket)
        out.emplace_back(
            "--allow-engine-socket: whoever is in the container may do all that hull can do, if "
            "its "
            "bind mounts reach hull's own files");
    if (config.pids_limit < 0)
        out.emplace_back("--pids-limit -1: a fork bomb in the container can exhaust the host");
    return out;
}

}  // namespace hull::engine
