#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// A node below /dev.
struct DeviceNode {
    std::string path;  ///< "/dev/null"
    char type = 'c';   ///< 'c' or 'u' character, 'b' block, 'p' fifo
    uint32_t major = 0;
    uint32_t minor = 0;
    mode_t mode = 0666;
    uid_t uid = 0;  ///< as seen by the process that makes it: host ids
    gid_t gid = 0;
    bool operator==(const DeviceNode&) const = default;
};

/// What the runtime-spec says every Linux container has (config-linux.md, Default Devices), without
/// console and ptmx: null, zero, full, random, urandom, tty.
const std::vector<DeviceNode>& default_devices();

struct DeviceLink {
    std::string_view path;  ///< below /dev: "fd"
    std::string_view target;
};
/// fd, stdin, stdout, stderr, and ptmx -> pts/ptmx. `core` is left out: kcore is masked.
std::span<const DeviceLink> default_device_links();

/// Makes nodes on a tmpfs that will be a container's /dev, given by the descriptor of its
/// (detached) root; folders on the way are made (0755). For a process that may mknod(2): not one in
/// a user namespace. A path outside /dev is an error, never followed.
/// @errors invalid: path not below /dev, unknown type; denied: no CAP_MKNOD
Result<void> make_device_nodes(int dev_root, std::span<const DeviceNode> nodes);
/// The symbolic links of default_device_links().
Result<void> make_device_links(int dev_root);

/// Where mknod(2) is refused (rootless): binds the host's node of each device onto an empty file in
/// `dev_root`, which must be attached (or the kernel be 6.15 or newer). The host's node is checked
/// to be that device. @errors not_found: the host has none
Result<void> bind_device_nodes(int dev_root, std::span<const DeviceNode> nodes);

/// Reads type, numbers, mode and owner of a host device ("/dev/kvm").
/// @errors invalid: not a device
Result<DeviceNode> read_device(const std::string& path);
/// All devices below a host folder, for `--privileged` and `--device DIR`; pts, shm, mqueue, fd and
/// .udev are left out, as is console.
Result<std::vector<DeviceNode>> list_host_devices(const std::string& folder = "/dev");

/// @errors corrupt: `fd` is not that device: somebody put something else in its place.
Result<void> verify_device(int fd, const DeviceNode& node);

}  // namespace hull::kernel
