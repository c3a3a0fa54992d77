#include "engine/etc_files.hpp"

#include <utility>

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
    auto text = read_file(path, 64U << 10U);
    return text ? std::move(*text) : std::string();
}

bool is_loopback(std::string_view address) {
    return address.starts_with("127.") || address == "::1";
}

}  // namespace

std::string make_hosts(const std::string& hostname) {
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

monitor::EtcFiles make_etc_files(std::string directory, const ContainerConfig& config,
                                 const std::string& hostname, uint32_t owner) {
    // The host's may be long (lists of refused names): not a matter for a message to the monitor.
    const bool uses_host = config.network == NetworkMode::host;
    return {.directory = std::move(directory),
            .owner = owner,
            .files = {{.name = "hosts",
                       .content = make_hosts(hostname),
                       .copy_of = uses_host ? "/etc/hosts" : ""},
                      {.name = "hostname", .content = hostname + "\n", .copy_of = ""},
                      {.name = "resolv.conf",
                       .content = make_resolv_conf(config, read_or_empty("/etc/resolv.conf")),
                       .copy_of = uses_host ? "/etc/resolv.conf" : ""}}};
}

}  // namespace hull::engine
