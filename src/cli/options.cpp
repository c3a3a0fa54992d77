#include "cli/options.hpp"

#include <cmath>
#include <cstdlib>
#include <ctime>

#include "base/file.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "engine/mounts.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/process.hpp"

namespace hull::cli {
namespace {

using engine::ContainerConfig;

constexpr uint64_t kLeastMemory = 1U << 20U;

Result<std::pair<std::string, std::string>> split_pair(std::string_view option,
                                                       const std::string& text) {
    size_t equals = text.find('=');
    if (equals == 0 || text.empty())
        return fail(Errc::invalid, std::string(option) + " " + quote(text) + " has no name",
                    "write NAME=VALUE");
    if (equals == std::string::npos) return std::pair{text, std::string()};
    return std::pair{text.substr(0, equals), text.substr(equals + 1)};
}

Result<uint64_t> parse_size(std::string_view option, const std::string& text) {
    auto size = parse_bytes(text);
    if (size) return size->value;
    return fail(Errc::invalid, std::string(option) + ": " + quote(text) + " is not a size",
                "write bytes, or a number with b, k, m, g: 512m");
}

/// "1.5" processors in billionths, without the roundings of floating point text; 0: no limit.
Result<uint64_t> parse_cpus(const std::string& text) {
    size_t dot = text.find('.');
    std::string fraction = dot == std::string::npos ? "" : text.substr(dot + 1);
    auto whole =
        dot == 0 ? std::optional<uint32_t>(0) : parse_number<uint32_t>(text.substr(0, dot));
    bool is_good = whole && fraction.size() <= 9 && *whole < 100'000 &&
                   fraction.find_first_not_of("0123456789") == std::string::npos;
    if (is_good) {
        fraction.resize(9, '0');
        uint64_t nano = *whole * 1'000'000'000ULL + parse_number<uint64_t>(fraction).value_or(0);
        if (nano == 0 || nano >= 10'000'000) return nano;
    }
    return fail(Errc::invalid, "--cpus: " + quote(text) + " is not a number of processors",
                "write a number of at least 0.01, as 1.5, or 0 for no limit");
}

Result<void> read_limits(const RunWords& words, ContainerConfig& config) {
    if (!words.memory.empty()) {
        config.memory = TRY(parse_size("--memory", words.memory));
        if (config.memory != 0 && config.memory < kLeastMemory)
            return fail(Errc::invalid, "--memory " + words.memory + " is too small for any program",
                        "give at least 1m, or 0 for no limit");
    }
    if (!words.memory_swap.empty()) {
        if (words.memory_swap == "-1")
            config.memory_swap = -1;
        else
            config.memory_swap =
                static_cast<int64_t>(TRY(parse_size("--memory-swap", words.memory_swap)));
        if (config.memory == 0) return fail(Errc::invalid, "--memory-swap needs --memory as well");
        if (*config.memory_swap >= 0 && static_cast<uint64_t>(*config.memory_swap) < config.memory)
            return fail(Errc::invalid,
                        "--memory-swap is memory and swap together, so it cannot be "
                        "less than --memory");
    }
    if (!words.cpus.empty()) config.nano_cpus = TRY(parse_cpus(words.cpus));
    config.cpu_shares = words.cpu_shares;
    config.cpuset_cpus = words.cpuset_cpus;
    if (words.pids_limit) config.pids_limit = *words.pids_limit <= 0 ? -1 : *words.pids_limit;
    if (!words.shm_size.empty()) config.shm_size = TRY(parse_size("--shm-size", words.shm_size));
    for (const auto& text : words.ulimits) {
        auto [name, value] = TRY(split_pair("--ulimit", text));
        size_t colon = value.find(':');
        auto number = [](const std::string& one) {
            return one == "-1" || one == "unlimited" ? std::optional<uint64_t>(~0ULL)
                                                     : parse_number<uint64_t>(one);
        };
        auto soft = number(value.substr(0, colon));
        auto hard = colon == std::string::npos ? soft : number(value.substr(colon + 1));
        if (!soft || !hard || *soft > *hard)
            return fail(Errc::invalid, "--ulimit " + quote(text) + " is not a limit",
                        "write NAME=SOFT[:HARD], the soft one not above the hard one");
        config.ulimits.push_back({name, *soft, *hard});
    }
    return {};
}

Result<std::string> capability_of(const std::string& text) {
    if (text == "ALL" || text == "all") return std::string("ALL");
    auto number = kernel::parse_capability(text);
    if (number) return kernel::capability_name(*number);
    auto closest = closest_match("CAP_" + text, kernel::capability_names());
    return fail(
        Errc::invalid, "unknown capability " + quote(text),
        closest ? "did you mean " + closest->substr(4) + "?" : "capabilities(7) lists them");
}

Result<void> read_security_option(const std::string& text, ContainerConfig& config) {
    size_t separator = text.find_first_of("=:");
    std::string name = text.substr(0, separator);
    std::string value = separator == std::string::npos ? "" : text.substr(separator + 1);
    if (name == "no-new-privileges" && (value.empty() || value == "true")) {
        config.no_new_privileges = true;
    } else if (name == "no-new-privileges" && value == "false") {
        config.no_new_privileges = false;
    } else if (name == "seccomp" && value == "unconfined") {
        config.seccomp_unconfined = true;
    } else if (name == "seccomp" && !value.empty()) {
        config.seccomp_profile = TRY(absolute_path(value));
    } else if (name == "apparmor" && !value.empty()) {
        config.apparmor_profile = value;
    } else {
        return fail(Errc::invalid, "--security-opt: " + quote(text) + " is not known",
                    "there are no-new-privileges[=false], seccomp=unconfined|FILE and "
                    "apparmor=unconfined|PROFILE");
    }
    return {};
}

Result<void> read_confinement(const RunWords& words, ContainerConfig& config) {
    config.privileged = words.privileged;
    config.allow_engine_socket = words.allow_engine_socket;
    config.read_only = words.read_only;
    for (const auto& name : words.cap_add)
        config.cap_add.push_back(TRY(capability_of(name)));
    for (const auto& name : words.cap_drop)
        config.cap_drop.push_back(TRY(capability_of(name)));
    for (const auto& text : words.security)
        TRY(read_security_option(text, config));
    for (const auto& text : words.sysctls)
        config.sysctls.push_back(TRY(split_pair("--sysctl", text)));
    if (words.network == "host")
        config.network = engine::NetworkMode::host;
    else if (!words.network.empty() && words.network != "none")
        return fail(Errc::invalid, "--network: there is no network " + quote(words.network),
                    "networks are none and host");
    return {};
}

Result<void> read_mounts(const RunWords& words, ContainerConfig& config) {
    for (const auto& text : words.volumes)
        config.mounts.push_back(TRY(engine::parse_volume_option(text)));
    for (const auto& text : words.mounts)
        config.mounts.push_back(TRY(engine::parse_mount_option(text)));
    for (const auto& text : words.tmpfs)
        config.mounts.push_back(TRY(engine::parse_tmpfs_option(text)));
    for (size_t i = 0; i < config.mounts.size(); i++)
        for (size_t j = 0; j < i; j++)
            if (config.mounts[i].target == config.mounts[j].target)
                return fail(Errc::invalid, "two mounts have the target " + config.mounts[i].target,
                            "remove one of them");
    return {};
}

Result<void> read_log_options(const RunWords& words, ContainerConfig& config) {
    if (words.log_driver == "none")
        config.log_disabled = true;
    else if (!words.log_driver.empty() && words.log_driver != "json-file")
        return fail(Errc::invalid, "--log-driver: there is no driver " + quote(words.log_driver),
                    "drivers are json-file and none");
    for (const auto& text : words.log_options) {
        auto [name, value] = TRY(split_pair("--log-opt", text));
        if (name == "max-size") {
            config.log_max_size = TRY(parse_size("--log-opt max-size", value));
        } else if (name == "max-file") {
            auto count = parse_number<uint32_t>(value);
            if (!count || *count == 0 || *count > 1000)
                return fail(Errc::invalid, "--log-opt max-file: " + quote(value) +
                                               " is not a number from 1 to 1000");
            config.log_max_files = *count;
        } else {
            return fail(Errc::invalid, "--log-opt: " + quote(name) + " is not known",
                        "there are max-size and max-file");
        }
    }
    return {};
}

}  // namespace

Result<std::vector<std::string>> to_environment(const std::vector<std::string>& entries,
                                                const std::vector<std::string>& files) {
    std::vector<std::string> out;
    auto add = [&](std::string_view entry) -> Result<void> {
        size_t equals = entry.find('=');
        if (entry.empty() || equals == 0)
            return fail(Errc::invalid, "variable " + quote(entry) + " has no name",
                        "write NAME=VALUE");
        if (equals != std::string_view::npos) {
            out.emplace_back(entry);
        } else if (const char* value = ::getenv(std::string(entry).c_str()); value != nullptr) {
            out.push_back(std::string(entry) + "=" + value);
        }
        return {};
    };
    for (const auto& file : files) {
        std::string text = TRY(with_context(read_file(file), "read variables"));
        for (auto line : split_lines(text))
            if (!trim(line).empty() && trim(line)[0] != '#') TRY(add(trim(line)));
    }
    for (const auto& entry : entries)
        TRY(add(entry));
    return out;
}

Result<std::string> parse_detach_keys(const std::string& text) {
    if (text.empty()) return std::string("\x10\x11");
    std::string out;
    for (auto key : split(text, ',')) {
        if (key.size() == 1) {
            out += key;
        } else if (key.size() == 6 && key.starts_with("ctrl-") && key[5] >= '@' && key[5] <= '_') {
            out += static_cast<char>(key[5] - '@');
        } else if (key.size() == 6 && key.starts_with("ctrl-") && key[5] >= 'a' && key[5] <= 'z') {
            out += static_cast<char>(key[5] - 'a' + 1);
        } else {
            return fail(Errc::invalid, "--detach-keys: " + quote(key) + " is not a key",
                        "write letters or ctrl-X, separated by commas: ctrl-p,ctrl-q");
        }
    }
    return out;
}

Result<engine::CreateRequest> to_create_request(const RunWords& words) {
    engine::CreateRequest out;
    out.image = words.image;
    out.name = words.name;
    out.command = words.command;
    out.auto_remove = words.remove;
    if (words.entrypoint) out.entrypoint = std::vector<std::string>{*words.entrypoint};
    ContainerConfig& config = out.options;
    config.env = TRY(to_environment(words.env, words.env_files));
    config.working_dir = words.working_dir;
    if (!config.working_dir.empty() && config.working_dir[0] != '/')
        return fail(Errc::invalid,
                    "--workdir " + quote(config.working_dir) + " is not an absolute path",
                    "give the path inside the container, from /");
    config.user = words.user;
    config.extra_groups = words.groups;
    config.hostname = words.hostname;
    if (config.hostname.size() > 64)
        return fail(Errc::invalid, "--hostname is longer than 64 characters");
    config.terminal = words.terminal;
    config.open_stdin = words.interactive;
    if (!words.stop_signal.empty()) {
        TRY(kernel::parse_signal(words.stop_signal));
        config.stop_signal = words.stop_signal;
    }
    if (words.stop_timeout) config.stop_timeout = *words.stop_timeout;
    for (const auto& text : words.labels)
        config.labels.push_back(TRY(split_pair("--label", text)));
    config.runtime = words.runtime;
    TRY(read_limits(words, config));
    TRY(read_confinement(words, config));
    TRY(read_mounts(words, config));
    TRY(read_log_options(words, config));
    if (words.pull != "missing" && words.pull != "always" && words.pull != "never")
        return fail(Errc::invalid, "--pull: " + quote(words.pull) + " is not known",
                    "there are missing, always and never");
    return out;
}

std::optional<std::chrono::system_clock::time_point> parse_log_moment(const std::string& text) {
    using Clock = std::chrono::system_clock;
    if (auto whole = parse_timestamp(text)) return *whole;
    size_t dot = text.find('.');
    std::string fraction = dot == std::string::npos ? "" : text.substr(dot + 1);
    auto seconds = parse_number<int64_t>(text.substr(0, dot));
    if (seconds && *seconds >= 0 && *seconds < 9'000'000'000 && fraction.size() <= 9 &&
        fraction.find_first_not_of("0123456789") == std::string::npos) {
        fraction.resize(9, '0');
        auto nanoseconds = std::chrono::nanoseconds(parse_number<int64_t>(fraction).value_or(0));
        return Clock::time_point(std::chrono::duration_cast<Clock::duration>(
            std::chrono::seconds(*seconds) + nanoseconds));
    }
    for (const char* format : {"%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"}) {
        std::tm parts{};
        parts.tm_isdst = -1;
        const char* end = ::strptime(text.c_str(), format, &parts);
        if (end == nullptr || *end != '\0') continue;
        // mktime(3) reads /etc/localtime itself; no NSS.
        return Clock::from_time_t(std::mktime(&parts));
    }
    return std::nullopt;
}

}  // namespace hull::cli
