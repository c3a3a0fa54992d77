// Ending containers: signals, waiting, the on-exit work, removal.

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <functional>
#include <thread>

#include "base/log.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "engine/engine.hpp"
#include "kernel/idmap.hpp"
#include "kernel/process.hpp"
#include "store/trash.hpp"

namespace hull::engine {

using monitor::FrameType;
using monitor::Phase;

namespace {

/// After the container has ended its monitor runs the on-exit work; this is how long a command
/// waits for it before it does that work itself.
constexpr std::chrono::milliseconds kOnExitPatience{10'000};

Error not_running(const ContainerRecord& record) {
    return make_error(Errc::conflict, "container " + record.name + " is not running",
                      "hull start " + record.name);
}

/// Reads until the container has ended. @return  its exit code; nullopt: the monitor is gone
Result<std::optional<int>> wait_for_end(MonitorConnection& connection,
                                        std::optional<std::chrono::milliseconds> timeout) {
    while (true) {
        auto frame = TRY(connection.receive(timeout));
        if (!frame) return std::nullopt;
        if (frame->type == FrameType::exited)
            return parse_number<int>(frame->payload).value_or(kHullFailed);
        if (frame->type == FrameType::failed) {
            auto error = decode_error(frame->payload);
            return error ? exit_code_of_failure(*error) : kHullFailed;
        }
    }
}

/// Until the monitor has done the on-exit work and is gone.
void wait_for_monitor(MonitorConnection& connection) {
    while (true) {
        auto frame = connection.receive(kOnExitPatience);
        if (!frame || !*frame) return;
    }
}

/// Whether our children would be allowed what the container's monitor was: it had the user's whole
/// range of ids.
bool needs_user_namespace(const Settings& settings) {
    return settings.is_rootless && ::geteuid() != 0;
}

}  // namespace

Result<void> Engine::run_in_user_namespace(const std::function<Result<void>()>& work) {
    pid_t child = ::fork();
    if (child < 0) return fail_errno(errno, "fork");
    if (child == 0) {
        auto done = kernel::enter_user_namespace_with_full_range({.allow_single = true}).has_value()
                        ? work()
                        : Result<void>(fail(Errc::denied, "no user namespace"));
        ::_exit(done ? 0 : 1);
    }
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (status != 0) return fail(Errc::denied, "files of the container could not be deleted");
    return {};
}

Result<void> Engine::delete_tree(const std::string& path) {
    auto removed = remove_tree(path);
    if (removed || !needs_user_namespace(settings_)) return removed;
    return run_in_user_namespace([&] { return remove_tree(path); });
}

Result<void> Engine::delete_snapshot(const std::string& id) {
    store::Store* images = TRY(store());
    bool is_whole = TRY(store::Snapshots(*images).remove(id));
    if (is_whole || !needs_user_namespace(settings_)) return {};
    return run_in_user_namespace([&]() -> Result<void> { return store::empty_trash(*images); });
}

/// In this order, so that whoever finds a half-removed container can go on: the row last.
Result<void> Engine::delete_everything(LockedContainer& container, bool volumes) {
    const ContainerRecord& record = container.record;
    TRY(delete_snapshot(record.id));
    TRY(remove_tree(settings_.container_directory(record.id)));
    if (volumes)
        for (const auto& mount : record.config.mounts)
            if (mount.kind == MountKind::volume && mount.anonymous)
                TRY(remove_volume(mount.source));
    TRY(remove_tree(settings_.run_directory(record.id)));
    return database_.erase(record.id);
}

Result<void> Engine::finish(LockedContainer& container) {
    auto row = TRY(database_.get(container.record.id));
    if (!row) {
        TRY(remove_tree(settings_.run_directory(container.record.id)));
        return {};
    }
    container.record = std::move(*row);
    ContainerRecord& record = container.record;
    if (record.intent == Intent::removing) return delete_everything(container, true);
    if (record.intent != Intent::started) return {};
    if (record.auto_remove) return delete_everything(container, true);
    auto status = monitor::load_status(settings_.run_directory(record.id));
    record.intent = Intent::exited;
    if (!status || status->boot_id != monitor::boot_id()) {
        bool same_boot = record.boot_id == monitor::boot_id();
        record.intent = same_boot && record.started_at.empty() ? Intent::created : Intent::exited;
        record.exit_code = 255;
        record.error = same_boot ? "it was interrupted while it started"
                                 : "the machine was restarted while it ran";
    } else if (status->phase == Phase::failed) {
        auto error = decode_error(status->error);
        if (record.started_at.empty()) record.intent = Intent::created;
        record.exit_code = error ? exit_code_of_failure(*error) : kHullFailed;
        record.error = error ? error->to_string_without_hint() : status->error;
        record.finished_at = status->finished_at;
    } else {
        record.started_at = status->started_at;
        record.finished_at = status->finished_at;
        record.exit_code = status->exit_code;
        record.oom_killed = status->oom_killed;
        auto error = decode_error(status->error);
        record.error = error ? error->message : "";
    }
    TRY(database_.update(record));
    return remove_tree(settings_.run_directory(record.id));
}

Result<void> Engine::finish_by_id(const std::string& id) {
    LockedContainer container{{}, TRY(lock_directory(id)), std::nullopt};
    container.record.id = id;
    return finish(container);  // reads the row
}

Result<MonitorConnection> Engine::attach(const std::string& text, uint8_t wants) {
    auto found = TRY(view(text));
    if (found.state != "running") return fail(not_running(found.record));
    return MonitorConnection::connect(settings_.run_directory(found.record.id), wants);
}

Result<std::optional<MonitorConnection>> Engine::connect_living(const ContainerRecord& record) {
    std::string directory = settings_.run_directory(record.id);
    while (record.intent == Intent::started && is_monitor_alive(directory)) {
        auto connection = MonitorConnection::connect(directory, 0);
        if (connection) return std::optional<MonitorConnection>(std::move(*connection));
        // It lives and does not listen yet, or any more.
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return std::nullopt;
}

Result<void> Engine::kill_and_wait(MonitorConnection& connection) {
    // The monitor of a container that only starts keeps the signal until it can be delivered. One
    // that has ended meanwhile does not listen: its end is what we wait for.
    (void)connection.send(FrameType::signal, std::to_string(SIGKILL));
    TRY(wait_for_end(connection, std::nullopt));
    wait_for_monitor(connection);
    return {};
}

Result<void> Engine::kill(const std::string& text, int signal) {
    auto record = TRY(database_.find(text));
    auto connection = TRY(connect_living(record));
    if (!connection) return fail(not_running(record));
    if (signal == SIGKILL) return kill_and_wait(*connection);
    return connection->send(FrameType::signal, std::to_string(signal));
}

Result<void> Engine::stop(const std::string& text, std::optional<std::chrono::seconds> timeout) {
    auto record = TRY(database_.find(text));
    auto connection = TRY(connect_living(record));
    if (!connection) return settle(record.id);
    int signal = SIGTERM;
    if (!record.config.stop_signal.empty())
        signal = kernel::parse_signal(record.config.stop_signal).value_or(SIGTERM);
    auto patience = timeout.value_or(std::chrono::seconds(record.config.stop_timeout));
    (void)connection->send(FrameType::signal, std::to_string(signal));
    auto limit =
        patience.count() < 0 ? std::nullopt : std::optional<std::chrono::milliseconds>(patience);
    auto ended = wait_for_end(*connection, limit);
    if (ended) {
        wait_for_monitor(*connection);
    } else if (ended.error().code == Errc::timeout) {
        TRY(kill_and_wait(*connection));
    } else {
        return fail(std::move(ended).error());
    }
    return settle(record.id);
}

Result<int> Engine::wait(const std::string& text) {
    auto record = TRY(database_.find(text));
    auto connection = TRY(connect_living(record));
    if (connection) {
        auto code = TRY(wait_for_end(*connection, std::nullopt));
        wait_for_monitor(*connection);
        if (code) return *code;
    }
    TRY(settle(record.id));
    auto row = TRY(database_.get(record.id));
    return row ? row->exit_code : 128 + SIGKILL;
}

Result<void> Engine::remove(const std::string& text, RemoveOptions options) {
    std::string id = TRY(database_.find(text)).id;
    while (true) {
        auto row = TRY(database_.get(id));
        if (!row) return {};
        auto connection = TRY(connect_living(*row));
        if (connection) {
            auto now = look_at(*row);
            bool is_over = now.state == "exited" || now.state == "removing";
            if (!options.force && !is_over)
                return fail(Errc::conflict, "you cannot remove a running container " + row->name,
                            "hull stop it before, or remove it with -f");
            TRY(kill_and_wait(*connection));
        }
        LockFile held = TRY(lock_directory(id));
        row = TRY(database_.get(id));
        if (!row) return remove_tree(settings_.run_directory(id));
        // Whoever held the lock before may have started it. (One that is over and whose monitor
        // still lives waits for somebody else to do what is done here.)
        bool is_alive =
            row->intent == Intent::started && is_monitor_alive(settings_.run_directory(id));
        auto state = look_at(*row).state;
        if (is_alive && state != "exited" && state != "removing") continue;
        LockedContainer container{std::move(*row), std::move(held), std::nullopt};
        TRY(settle_locked(container));
        if (!TRY(relock(container))) return {};
        container.record.intent = Intent::removing;
        TRY(database_.update(container.record));
        return delete_everything(container, options.volumes);
    }
}

Result<void> Engine::rename(const std::string& text, const std::string& name) {
    TRY(check_name(name, "container name"));
    auto container = TRY(lock(text));
    auto taken = database_.find(name);
    if (taken && taken->name == name)
        return fail(Errc::exists, "the name " + quote(name) + " is already in use");
    container.record.name = name;
    auto updated = database_.update(container.record);
    if (container.record.intent != Intent::started)
        TRY(remove_tree(settings_.run_directory(container.record.id)));
    return updated;
}

}  // namespace hull::engine
