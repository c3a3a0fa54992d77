// What images, containers and volumes take on disk.

#include <algorithm>
#include <cstring>
#include <set>

#include "base/fd.hpp"
#include "engine/engine.hpp"
#include "store/collect.hpp"

namespace hull::engine {
namespace {

/// What is counted: an ordinary user's layers can be walked in the user's namespace only, so the
/// numbers come from a child process, as they are.
struct Numbers {
    uint64_t images, unused_images, containers, stopped, volumes, unused_volumes, unfinished;
};

struct CountRequest {
    std::vector<spec::Digest> images_in_use;
    std::vector<std::string> running, stopped;  ///< folders
    std::vector<std::string> used_volumes, unused_volumes;
};

uint64_t bytes_of(const std::vector<std::string>& folders) {
    uint64_t sum = 0;
    for (const auto& folder : folders)
        sum += store::allocated_bytes(folder).value;
    return sum;
}

Result<Numbers> count(const store::Store& store, const CountRequest& request) {
    auto usage = TRY(store::disk_usage(store, request.images_in_use));
    Numbers out{};
    out.images = usage.blobs.value + usage.layers.value;
    out.unused_images = usage.unused.value;
    out.stopped = bytes_of(request.stopped);
    out.containers = out.stopped + bytes_of(request.running);
    out.unused_volumes = bytes_of(request.unused_volumes);
    out.volumes = out.unused_volumes + bytes_of(request.used_volumes);
    out.unfinished = usage.other.value;
    return out;
}

}  // namespace

Result<SystemUsage> Engine::disk_usage() {
    SystemUsage out;
    CountRequest request;
    store::Store* images = TRY(store());
    std::set<std::string> volumes_in_use;
    for (const auto& view : TRY(list())) {
        bool runs = view.state == "running";
        out.containers.total++;
        out.containers.active += runs ? 1 : 0;
        auto& folders = runs ? request.running : request.stopped;
        folders.push_back(images->root() + "/snapshots/" + view.record.id);
        folders.push_back(settings_.container_directory(view.record.id));
        for (const auto& mount : view.record.config.mounts)
            if (mount.kind == MountKind::volume) volumes_in_use.insert(mount.source);
    }
    auto used = TRY(database_.images_in_use());
    for (const auto& digest : used)
        if (auto parsed = spec::Digest::parse(digest)) request.images_in_use.push_back(*parsed);
    for (const auto& image : TRY(store::list_images(*images))) {
        out.images.total++;
        bool is_used = std::ranges::find(used, image.manifest_digest.to_string()) != used.end();
        out.images.active += is_used ? 1 : 0;
    }
    for (const auto& volume : TRY(database_.list_volumes())) {
        bool is_used = volumes_in_use.contains(volume.name);
        out.volumes.total++;
        out.volumes.active += is_used ? 1 : 0;
        auto& folders = is_used ? request.used_volumes : request.unused_volumes;
        folders.push_back(settings_.volumes_directory() + "/" + volume.name);
    }
    Numbers numbers{};
    if (settings_.is_rootless) {
        Pipe pipe = TRY(create_pipe());
        auto counted = run_in_user_namespace([&]() -> Result<void> {
            Numbers found = TRY(count(*images, request));
            return write_all(pipe.write_end.get(),
                             {reinterpret_cast<const char*>(&found), sizeof found});
        });
        if (!counted)
            return fail(Errc::denied, "the store cannot be counted in the user's namespace");
        pipe.write_end.reset();
        std::string bytes = TRY(read_all(pipe.read_end.get(), sizeof numbers));
        if (bytes.size() != sizeof numbers) return fail(Errc::io, "the store cannot be counted");
        std::memcpy(&numbers, bytes.data(), sizeof numbers);
    } else {
        numbers = TRY(count(*images, request));
    }
    out.images.size = {numbers.images};
    out.images.reclaimable = {numbers.unused_images};
    out.containers.size = {numbers.containers};
    out.containers.reclaimable = {numbers.stopped};
    out.volumes.size = {numbers.volumes};
    out.volumes.reclaimable = {numbers.unused_volumes};
    out.unfinished = {numbers.unfinished};
    return out;
}

}  // namespace hull::engine
