#include "engine/etc_files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::engine {
namespace {

constexpr std::string_view kLocalHosts =
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "ff00::0\tip6-mcastprefix\n"
    "ff02::1\tip6-allnodes\n"
    "ff02::2\tip6-allrouters\n";

std::string read_or_empty(const std::string& path) {
    auto text = read_file(path, 1U << 20U);
    return text ? std::move(*text) : std::string();
}

bool is_loopback(std::string_view address) {
    return address.starts_with("127.") || address == "::1";
}

Result<void> write_owned(const std::string& path, std::string_view content, uint32_t owner) {
    Fd file = TRY(open_path(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0644));
    TRY(write_all(file.get(), content));
    // umask must not decide what the container's users can read.
    if (::fchmod(file.get(), 0644) < 0) return fail_errno(errno, "set the mode of " + path);
    if (owner != ::geteuid() && ::fchown(file.get(), owner, owner) < 0)
        return fail_errno(errno, "give " + path + " to the container");
    return {};
}

}  // namespace

std::string make_hosts(const ContainerConfig& config, const std::string& hostname,
                       std::string_view host_file) {
    if (config.network == NetworkMode::host && !host_file.empty()) return std::string(host_file);
    return std::string(kLocalHosts) + "127.0.1.1\t" + hostname + "\n";
}

std::string make_resolv_conf(const ContainerConfig& config, std::string_view host_file) {
    if (config.network == NetworkMode::host) return std::string(host_file);
    std::string out = "# Made by hull for this container.\n";
    for (auto line : split_lines(host_file)) {
        auto words = split(trim(line), ' ');
        if (words.size() >= 2 && words[0] == "nameserver" && is_loopback(words[1])) continue;
        if (trim(line).empty() || line[0] == '#') continue;
        out += std::string(line) + "\n";
    }
    return out;
}

Result<std::vector<EtcFile>> write_etc_files(const std::string& directory,
                                             const ContainerConfig& config,
                                             const std::string& hostname, uint32_t owner) {
    bool uses_host = config.network == NetworkMode::host;
    std::vector<EtcFile> out;
    auto add = [&](const char* name, const std::string& content) -> Result<void> {
        std::string path = join_path(directory, name);
        TRY(write_owned(path, content, owner));
        out.push_back({path, std::string("/etc/") + name});
        return {};
    };
    TRY(add("hosts",
            make_hosts(config, hostname, uses_host ? read_or_empty("/etc/hosts") : std::string())));
    TRY(add("hostname", hostname + "\n"));
    TRY(add("resolv.conf", make_resolv_conf(config, read_or_empty("/etc/resolv.conf"))));
    return out;
}

}  // namespace hull::engine
