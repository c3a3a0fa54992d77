#include "engine/engine.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <functional>

#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "engine/bundle.hpp"
#include "engine/ranges.hpp"

namespace hull::engine {
namespace {

std::string now() {
    return format_timestamp(std::chrono::system_clock::now());
}

/// Instances with roots of their own share one pool: each begins its search elsewhere, so that
/// their containers rarely meet in one range.
uint32_t start_slot(const Settings& settings, uint32_t slots) {
    if (settings.root == "/var/lib/hull" || slots == 0) return 0;
    return static_cast<uint32_t>(std::hash<std::string>{}(settings.root) % slots);
}

}  // namespace

Result<Engine> Engine::open(const SettingsRequest& request) {
    Settings settings = TRY(resolve_settings(request));
    TRY(prepare_roots(settings));
    Database database = TRY(Database::open(settings.database_path()));
    Engine engine(std::move(settings), std::move(database));
    TRY(engine.settle_all());
    return engine;
}

Result<store::Store*> Engine::store() {
    if (!store_) store_ = TRY(store::Store::open(settings_.root));
    return &*store_;
}

/// The lock of a container lies in its run directory, which goes away with it: whoever waited for
/// the lock of a folder that was removed meanwhile has to try again.
Result<LockFile> Engine::lock_directory(const std::string& id) {
    std::string directory = settings_.run_directory(id);
    std::string path = directory + "/lock";
    while (true) {
        if (::mkdir(directory.c_str(), settings_.is_rootless ? 0700 : 0711) < 0 && errno != EEXIST)
            return fail_errno(errno, "make " + directory);
        auto lock = LockFile::acquire(path);
        if (!lock) {
            if (lock.error().code == Errc::not_found) continue;
            return lock;
        }
        struct stat held{};
        struct stat there{};
        if (::fstat(lock->fd(), &held) == 0 && ::stat(path.c_str(), &there) == 0 &&
            held.st_ino == there.st_ino && held.st_dev == there.st_dev)
            return lock;
    }
}

Result<ContainerConfig> Engine::merge_image(const CreateRequest& request,
                                            const store::Image& image) {
    const auto& defaults = image.config.config;
    ContainerConfig config = request.options;
    if (request.entrypoint) {
        config.entrypoint = *request.entrypoint;
        std::erase(config.entrypoint, "");
        config.command = request.command;
    } else {
        config.entrypoint = defaults.entrypoint;
        config.command = request.command.empty() ? defaults.cmd : request.command;
    }
    if (process_args(config).empty())
        return fail(
            Errc::invalid,
            "no command: the image " + request.image + " has neither entrypoint nor command",
            "give one: hull run IMAGE COMMAND");
    config.env = defaults.env;
    for (const auto& entry : request.options.env)
        set_environment(config.env, entry);
    if (config.working_dir.empty()) config.working_dir = defaults.working_dir;
    if (config.user.empty()) config.user = defaults.user;
    if (config.stop_signal.empty()) config.stop_signal = defaults.stop_signal;
    std::vector<std::pair<std::string, std::string>> labels(defaults.labels.begin(),
                                                            defaults.labels.end());
    for (const auto& [name, value] : request.options.labels) {
        std::erase_if(labels, [&](const auto& label) { return label.first == name; });
        labels.emplace_back(name, value);
    }
    config.labels = std::move(labels);
    for (const auto& path : defaults.volumes) {
        std::string target = clean_path(path);
        bool is_taken = std::ranges::any_of(
            config.mounts, [&](const MountConfig& mount) { return mount.target == target; });
        if (is_taken || target.empty() || target[0] != '/') continue;
        if (target == "/")
            return fail(Errc::invalid,
                        "image " + request.image + " wants a volume in the place of the whole root",
                        "it must name a folder");
        MountConfig mount;
        mount.kind = MountKind::volume;
        mount.target = target;
        mount.anonymous = true;
        config.mounts.push_back(std::move(mount));
    }
    for (auto& mount : config.mounts)
        if (mount.kind == MountKind::volume && mount.anonymous)
            mount.source = create_container_id();
    for (auto& warning : weakening_warnings(config))
        config.warnings.push_back(std::move(warning));
    TRY(effective_capabilities(config));
    return config;
}

Result<void> Engine::give_range(ContainerRecord& record, uint32_t highest_id,
                                std::optional<Database::Pool>& pool) {
    if (settings_.is_rootless) return {};
    auto range = TRY(prepare_hull_range());
    auto words = split(record.config.user, ':');
    uint32_t highest = 0;
    for (auto word : words)
        highest = std::max(highest, parse_number<uint32_t>(word).value_or(0));
    record.range.count = ids_needed(highest, highest_id);
    pool = Database::Pool{range.containers,
                          start_slot(settings_, range.containers.count / kIdsPerContainer)};
    return {};
}

Result<LockedContainer> Engine::create(const CreateRequest& request) {
    auto image = TRY(store::find_image(*TRY(store()), request.image));
    ContainerRecord record;
    record.config = TRY(merge_image(request, image));
    if (!request.name.empty()) TRY(check_name(request.name, "container name"));
    record.id = create_container_id();
    record.name = request.name.empty() ? create_container_name() : request.name;
    record.image = request.image;
    record.image_digest = image.manifest_digest.to_string();
    record.image_id = image.id.to_string();
    record.created_at = now();
    record.auto_remove = request.auto_remove;
    if (request.start_at_once) {
        record.intent = Intent::started;
        record.boot_id = monitor::boot_id();
    }
    std::optional<Database::Pool> pool;
    TRY(give_range(record, image.highest_id, pool));

    // The lock first: a row without a lock held is somebody's who died.
    LockFile lock = TRY(lock_directory(record.id));
    auto inserted = database_.insert(record, pool);
    for (int attempt = 0; !inserted && inserted.error().code == Errc::exists &&
                          request.name.empty() && attempt < 100;
         attempt++) {
        record.name = create_container_name() + "_" + record.id.substr(0, attempt < 10 ? 3 : 6);
        inserted = database_.insert(record, pool);
    }
    if (!inserted) {
        (void)remove_tree(settings_.run_directory(record.id));
        return fail(std::move(inserted).error());
    }
    LockedContainer container{std::move(record), std::move(lock), std::nullopt};
    auto snapshot = store::Snapshots(*TRY(store()))
                        .create({.id = container.record.id, .diff_ids = image.config.diff_ids});
    if (!snapshot) {
        (void)discard(container);
        return fail(std::move(snapshot).error());
    }
    container.snapshot = std::move(*snapshot);
    // For the images' budget; a full disk is no reason not to run.
    (void)store::touch_image(*TRY(store()), image.manifest_digest);
    return container;
}

Result<void> Engine::discard(LockedContainer& container) {
    return delete_everything(container, true);
}

Result<void> Engine::release_unstarted(LockedContainer& container) {
    return remove_tree(settings_.run_directory(container.record.id));
}

std::vector<std::string> Engine::on_exit_command(const std::string& id) const {
    char self[4096];
    ssize_t size = ::readlink("/proc/self/exe", self, sizeof self);
    std::string program = size > 0 ? std::string(self, static_cast<size_t>(size)) : "hull";
    return {program,   "--root", settings_.root, "--runroot", settings_.run_root, "container",
            "on-exit", id};
}

Result<IdleMonitor> Engine::take_monitor(monitor::Purpose purpose) {
    if (!idle_monitor_) return IdleMonitor::start(purpose);
    IdleMonitor taken = std::move(*idle_monitor_);
    idle_monitor_.reset();
    return taken;
}

bool uses_own_runtime(const ContainerConfig& config) {
    return config.runtime.empty() || config.runtime == "hull-runtime" || config.runtime == "hull";
}

Result<std::vector<std::string>> Engine::runtime_command(const ContainerConfig& config) const {
    std::string program = config.runtime;
    if (uses_own_runtime(config)) program = TRY(find_sibling("hull-runtime"));
    return std::vector<std::string>{program, "--root", settings_.runtime_root()};
}

int exit_code_of_failure(const Error& error) {
    const std::string& text = error.message;
    auto has = [&](std::string_view word) { return text.find(word) != std::string::npos; };
    if (has("executable file not found") || has("no such file or directory") ||
        has("No such file or directory"))
        return 127;
    if (has("permission denied") || has("Permission denied") || has("is a directory") ||
        has("exec format error") || has("Exec format error"))
        return 126;
    return kHullFailed;
}

}  // namespace hull::engine
