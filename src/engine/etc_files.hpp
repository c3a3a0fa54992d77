#pragma once

#include <string>
#include <string_view>

#include "engine/containers.hpp"
#include "monitor/settings.hpp"

namespace hull::engine {

/// Content of a container's /etc/hosts, where its network is not the host's.
std::string make_hosts(const std::string& hostname);
/// Content of /etc/resolv.conf: the host's for --network host; without a network the host's as
/// well, less name servers on the host's loopback, which cannot be reached.
std::string make_resolv_conf(const ContainerConfig& config, std::string_view host_file);

/// hosts, hostname and resolv.conf, which the monitor makes in `directory`, owned by the
/// container's root. @param owner  id of that on the host
monitor::EtcFiles make_etc_files(std::string directory, const ContainerConfig& config,
                                 const std::string& hostname, uint32_t owner);

}  // namespace hull::engine
