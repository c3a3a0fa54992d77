#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "engine/containers.hpp"

namespace hull::engine {

/// Content of a container's /etc/hosts. @param host_file  the host's own, for --network host
std::string make_hosts(const ContainerConfig& config, const std::string& hostname,
                       std::string_view host_file);
/// Content of /etc/resolv.conf: the host's for --network host; without a network the host's as
/// well, less name servers on the host's loopback, which cannot be reached.
std::string make_resolv_conf(const ContainerConfig& config, std::string_view host_file);

/// Where the three files lie in a run directory.
struct EtcFile {
    std::string path;    ///< on the host
    std::string target;  ///< "/etc/hosts"
};

/// Writes hosts, hostname and resolv.conf into `directory`, owned by the container's root.
/// @param owner  id on the host of container id 0
Result<std::vector<EtcFile>> write_etc_files(const std::string& directory,
                                             const ContainerConfig& config,
                                             const std::string& hostname, uint32_t owner);

}  // namespace hull::engine
