// Named volumes: folders that outlive containers.

#include <sys/stat.h>

#include <cerrno>
#include <chrono>

#include "base/text.hpp"
#include "base/units.hpp"
#include "engine/engine.hpp"

namespace hull::engine {

/// The folder above is 0700: only root (or its user) walks in.
Result<void> Engine::create_volume_directory(const std::string& name) {
    std::string path = settings_.volume_path(name);
    TRY(create_directories(parent_path(path), 0700));
    if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST)
        return fail_errno(errno, "make the volume " + name);
    return {};
}

Result<void> Engine::create_volume(const std::string& name) {
    TRY(check_name(name, "volume name"));
    TRY(create_volume_directory(name));
    TRY(database_.insert_volume({name, format_timestamp(std::chrono::system_clock::now()), false}));
    return {};
}

Result<void> Engine::remove_volume(const std::string& name) {
    TRY(delete_tree(parent_path(settings_.volume_path(name))));
    return database_.erase_volume(name);
}

Result<void> Engine::remove_volume_by_name(const std::string& name, bool force) {
    auto volume = TRY(database_.get_volume(name));
    if (!volume) {
        if (force) return {};
        return fail(Errc::not_found, "no such volume: " + name, "hull volume ls lists them");
    }
    for (const auto& record : TRY(database_.list()))
        for (const auto& mount : record.config.mounts)
            if (mount.kind == MountKind::volume && mount.source == name)
                return fail(Errc::conflict,
                            "volume " + name + " is in use by container " + record.name,
                            "hull rm " + record.name + " first");
    return remove_volume(name);
}

}  // namespace hull::engine
