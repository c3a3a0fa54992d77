#include "image/container_tree.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <vector>

#include "kernel/mount.hpp"
#include "kernel/namespaces.hpp"
#include "store/snapshots.hpp"

namespace hull::image {
namespace {

Result<Fd> mount_layers(const store::SnapshotMounts& snapshot, const std::string& scratch) {
    // In a user namespace mounts need a mount namespace that belongs to it.
    if (snapshot.userxattr) TRY(kernel::unshare_namespaces(CLONE_NEWNS));
    std::vector<Fd> layers;
    kernel::OverlayRequest request;
    layers.push_back(TRY(open_path(snapshot.upper, O_PATH | O_DIRECTORY)));
    for (const auto& path : snapshot.lower)
        layers.push_back(TRY(open_path(path, O_PATH | O_DIRECTORY)));
    for (const auto& layer : layers)
        request.lowers.push_back(layer.get());
    request.user_xattr = snapshot.userxattr;
    // The upper folder of a running container is in use; without an index that is no error.
    request.options.push_back({"index", "off"});
    request.attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV;
    request.scratch_directory = scratch;
    return kernel::create_overlay(request);
}

}  // namespace

Result<Fd> open_container_tree(const store::Store& store, const std::string& id) {
    auto snapshot = TRY(store::Snapshots{store}.mounts(id));
    if (snapshot.lower.empty()) return open_path(snapshot.upper, O_RDONLY | O_DIRECTORY);
    Fd mount = TRY(with_context(mount_layers(snapshot, store.root() + "/staging"),
                                "look into container " + id.substr(0, 12)));
    return open_at(mount.get(), ".", O_RDONLY | O_DIRECTORY);
}

}  // namespace hull::image
