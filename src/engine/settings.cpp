#include "engine/settings.hpp"

#include <unistd.h>

#include <cstdlib>

#include "base/file.hpp"
#include "base/own_directory.hpp"

namespace hull::engine {
namespace {

std::string environment(const char* name) {
    const char* value = ::getenv(name);
    return value == nullptr ? std::string() : std::string(value);
}

Result<std::string> default_user_root() {
    std::string data = environment("XDG_DATA_HOME");
    if (!data.empty()) return join_path(data, "hull");
    std::string home = environment("HOME");
    if (home.empty())
        return fail(Errc::invalid, "HOME is not set, so there is no place for images",
                    "set HOME or XDG_DATA_HOME, or give --root DIR");
    return join_path(home, ".local/share/hull");
}

std::string default_user_run_root(uid_t uid) {
    std::string runtime = environment("XDG_RUNTIME_DIR");
    if (!runtime.empty()) return join_path(runtime, "hull");
    return "/tmp/hull-" + std::to_string(uid);
}

}  // namespace

std::string Settings::database_path() const {
    return root + "/hull.db";
}
std::string Settings::container_directory(const std::string& id) const {
    return root + "/containers/" + id;
}
std::string Settings::log_path(const std::string& id) const {
    return container_directory(id) + "/container.log";
}
std::string Settings::run_directory(const std::string& id) const {
    return run_root + "/" + id;
}
std::string Settings::runtime_root() const {
    return run_root + "/runtime";
}
std::string Settings::volumes_directory() const {
    return root + "/volumes";
}
std::string Settings::volume_path(const std::string& name) const {
    return volumes_directory() + "/" + name + "/_data";
}

Result<Settings> resolve_settings(const SettingsRequest& request) {
    Settings out;
    out.uid = ::geteuid();
    out.gid = ::getegid();
    out.is_rootless = out.uid != 0;
    if (!request.root.empty())
        out.root = clean_path(TRY(absolute_path(request.root)));
    else
        out.root = out.is_rootless ? TRY(default_user_root()) : "/var/lib/hull";
    if (!request.run_root.empty())
        out.run_root = clean_path(TRY(absolute_path(request.run_root)));
    else
        out.run_root = out.is_rootless ? default_user_run_root(out.uid) : "/run/hull";
    return out;
}

Result<void> prepare_roots(const Settings& settings) {
    // Search permission on the run root: a runtime other than hull's walks to the root file system
    // with the container's ids. What lies in it has modes of its own.
    if (path_exists(settings.runtime_root())) {
        TRY(check_own_directory(settings.run_root));
    } else {
        TRY(create_directories(parent_path(settings.run_root)));
        TRY(create_own_directory(settings.run_root, settings.is_rootless ? 0700 : 0711));
        TRY(create_directories(settings.runtime_root(), 0700));
    }
    if (!path_exists(settings.root)) TRY(create_directories(settings.root, 0700));
    return check_own_directory(settings.root);
}

}  // namespace hull::engine
