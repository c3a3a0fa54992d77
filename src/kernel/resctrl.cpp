#include "kernel/resctrl.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/mountinfo.hpp"
#include "kernel/uapi.hpp"

namespace hull::kernel {
namespace {

constexpr const char* kUsualPlace = "/sys/fs/resctrl";

/// The kernel explains a refusal in a file of its own.
Error explain(Error error, const std::string& root) {
    auto status = read_file(join_path(root, "info/last_cmd_status"), 4096);
    if (!status) return error;
    auto words = trim(*status);
    if (words.empty() || words == "ok") return error;
    return std::move(error).with_hint("the kernel says: " + std::string{words});
}

/// One write(2): the kernel takes all lines or none.
Result<void> write_resctrl_file(const std::string& root, const std::string& path,
                                std::string_view content) {
    Fd file = TRY(open_path(path, O_WRONLY | O_TRUNC));
    const ssize_t count = ::write(file.get(), content.data(), content.size());
    if (count == static_cast<ssize_t>(content.size())) return {};
    const int cause = count < 0 ? errno : EIO;
    return fail(explain(errno_error(cause, "write " + quote(trim(content)) + " to " + path), root));
}

std::string joined_lines(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines)
        text += line + "\n";
    return text;
}

Result<void> make_directory(const std::string& root, const std::string& path) {
    if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
    return fail(
        explain(errno_error(errno, "make " + path, "there may be no class of service left"), root));
}

/// "0=00ff" of "L3:0=00ff;1=c0" as numbers without leading zeros, by domain.
using Domains = std::map<std::string, std::string, std::less<>>;

std::string plain_number(std::string_view text) {
    text = trim(text);
    while (text.size() > 1 && text.front() == '0')
        text.remove_prefix(1);
    std::string number{text};
    for (char& c : number)
        if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    return number;
}

/// @return  the resource's name and its domains; an empty name: no schema line
std::pair<std::string, Domains> parse_schema(std::string_view line) {
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return {};
    Domains domains;
    for (auto part : split(line.substr(colon + 1), ';')) {
        const size_t equals = part.find('=');
        if (equals == std::string_view::npos) continue;
        domains[plain_number(part.substr(0, equals))] = plain_number(part.substr(equals + 1));
    }
    return {std::string{trim(line.substr(0, colon))}, std::move(domains)};
}

bool contains_all(const Domains& present, const Domains& wanted) {
    return std::all_of(wanted.begin(), wanted.end(), [&](const auto& domain) {
        auto found = present.find(domain.first);
        return found != present.end() && found->second == domain.second;
    });
}

std::optional<uint64_t> read_number(const std::string& path) {
    auto text = read_file(path, 64);
    if (!text) return std::nullopt;
    return parse_number<uint64_t>(trim(*text));
}

std::vector<std::string> read_lines(const std::string& path) {
    std::vector<std::string> lines;
    auto text = read_file(path, 1U << 20U);
    if (!text) return lines;
    for (auto line : split_lines(*text))
        if (!trim(line).empty()) lines.emplace_back(trim(line));
    return lines;
}

}  // namespace

Result<std::string> find_resctrl() {
    struct statfs info{};
    if (::statfs(kUsualPlace, &info) < 0)
        return fail(Errc::unsupported, "this machine has no resource control (resctrl)",
                    "leave linux.intelRdt out: it needs a CPU with Intel RDT or AMD QoS");
    if (static_cast<uint64_t>(info.f_type) == kResctrlMagic) return std::string{kUsualPlace};
    for (const auto& mount : TRY(read_mountinfo()))
        if (mount.type == "resctrl") return mount.mount_point;
    return fail(Errc::unsupported, "resctrl is not mounted",
                "mount -t resctrl resctrl /sys/fs/resctrl");
}

Result<ResctrlGroup> plan_resctrl_group(const std::string& root, const ResctrlRequest& request) {
    ResctrlGroup group;
    if (request.name == "/") {
        group.directory = root;
    } else {
        if (request.name.empty() || request.name == "." || request.name == ".." ||
            request.name.find('/') != std::string::npos)
            return fail(Errc::invalid, quote(request.name) + " is no name of a class of service",
                        "give one folder name, or / for the root's");
        group.directory = join_path(root, request.name);
        group.is_own = !request.is_shared && !path_exists(group.directory);
    }
    if (!request.monitor.empty())
        group.monitor_directory = join_path(group.directory, "mon_groups/" + request.monitor);
    return group;
}

namespace {

/// A class that is there already is joined as it is; what it says must be what was asked for.
Result<void> check_shared_class(const ResctrlRequest& request, const ResctrlGroup& group) {
    if (request.schemata.empty()) return {};
    const auto present = TRY(read_file(join_path(group.directory, "schemata"), 1U << 20U));
    if (schemata_agree(present, request.schemata)) return {};
    return fail(Errc::conflict,
                "class of service " + quote(request.name) +
                    " exists with other schemata: " + quote(trim(present)),
                "give the same, or another closID");
}

Result<void> fill_class(const std::string& root, const ResctrlRequest& request,
                        const ResctrlGroup& group) {
    TRY(write_resctrl_schemata(root, group, request.schemata));
    if (!group.monitor_directory.empty()) TRY(make_directory(root, group.monitor_directory));
    return {};
}

}  // namespace

Result<void> create_resctrl_group(const std::string& root, const ResctrlRequest& request,
                                  const ResctrlGroup& group) {
    if (path_exists(group.directory)) {
        if (!request.is_shared) return fill_class(root, request, group);
        TRY(check_shared_class(request, group));
        return group.monitor_directory.empty() ? Result<void>{}
                                               : make_directory(root, group.monitor_directory);
    }
    if (request.is_shared && request.schemata.empty())
        return fail(Errc::not_found, "class of service " + quote(request.name) + " does not exist",
                    "make " + group.directory + " beforehand, or give its schemata");
    TRY(make_directory(root, group.directory));
    auto filled = fill_class(root, request, group);
    if (!filled) ::rmdir(group.directory.c_str());
    return filled;
}

Result<void> join_resctrl_group(const std::string& root, const ResctrlGroup& group, pid_t pid) {
    for (const auto& directory : {group.directory, group.monitor_directory})
        if (!directory.empty())
            TRY(write_resctrl_file(root, join_path(directory, "tasks"), std::to_string(pid)));
    return {};
}

Result<void> write_resctrl_schemata(const std::string& root, const ResctrlGroup& group,
                                    const std::vector<std::string>& schemata) {
    if (schemata.empty()) return {};
    return write_resctrl_file(root, join_path(group.directory, "schemata"), joined_lines(schemata));
}

Result<void> remove_resctrl_group(const ResctrlGroup& group) {
    // The monitoring group goes with its class; rmdir(2) of a class moves its tasks to the root's.
    if (!group.monitor_directory.empty() && ::rmdir(group.monitor_directory.c_str()) < 0 &&
        errno != ENOENT)
        return fail_errno(errno, "remove " + group.monitor_directory);
    if (group.is_own && ::rmdir(group.directory.c_str()) < 0 && errno != ENOENT)
        return fail_errno(errno, "remove " + group.directory);
    return {};
}

bool schemata_agree(std::string_view present, const std::vector<std::string>& wanted) {
    std::map<std::string, Domains, std::less<>> there;
    for (auto line : split_lines(present)) {
        auto [name, domains] = parse_schema(line);
        if (!name.empty()) there[name] = std::move(domains);
    }
    return std::all_of(wanted.begin(), wanted.end(), [&](const std::string& line) {
        auto [name, domains] = parse_schema(line);
        auto found = there.find(name);
        return !name.empty() && found != there.end() && contains_all(found->second, domains);
    });
}

Result<ResctrlStats> read_resctrl_stats(const std::string& root, const ResctrlGroup& group) {
    ResctrlStats stats;
    const std::string info = join_path(root, "info");
    if (auto mask = read_file(join_path(info, "L3/cbm_mask"), 64))
        stats.cache = {.mask = std::string{trim(*mask)},
                       .least_bits = read_number(join_path(info, "L3/min_cbm_bits")).value_or(0),
                       .classes = read_number(join_path(info, "L3/num_closids")).value_or(0)};
    if (path_exists(join_path(info, "MB")))
        stats.bandwidth = {
            .granularity = read_number(join_path(info, "MB/bandwidth_gran")).value_or(0),
            .linear = read_number(join_path(info, "MB/delay_linear")).value_or(0),
            .least = read_number(join_path(info, "MB/min_bandwidth")).value_or(0),
            .classes = read_number(join_path(info, "MB/num_closids")).value_or(0)};
    stats.root_schemata = read_lines(join_path(root, "schemata"));
    stats.schemata = read_lines(join_path(group.directory, "schemata"));
    const std::string data = join_path(
        group.monitor_directory.empty() ? group.directory : group.monitor_directory, "mon_data");
    auto domains = list_directory(data);
    if (!domains) return stats;
    for (const auto& domain : *domains)
        if (domain.starts_with("mon_L3_"))
            stats.monitors.push_back(
                {.cache_bytes = read_number(join_path(data, domain + "/llc_occupancy")),
                 .total_bytes = read_number(join_path(data, domain + "/mbm_total_bytes")),
                 .local_bytes = read_number(join_path(data, domain + "/mbm_local_bytes"))});
    return stats;
}

}  // namespace hull::kernel
