// Settling what should be with what is: every command begins here.

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/log.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "engine/engine.hpp"
#include "kernel/process.hpp"

namespace hull::engine {

using monitor::Phase;
using monitor::Status;

namespace {

bool is_container_id(std::string_view name) {
    return name.size() == 64 &&
           name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// Kills exactly that process, whoever has its pid now, and waits until it is gone.
void kill_process(pid_t pid, uint64_t start_time) {
    if (pid <= 0) return;
    auto process = kernel::open_process({pid, start_time});
    if (!process) return;
    (void)kernel::send_signal(process->get(), SIGKILL);
    (void)kernel::wait_until_ended(process->get(), std::chrono::seconds(10));
}

}  // namespace

Result<void> Engine::settle_all() {
    auto unsettled = TRY(database_.list_unsettled());
    for (const auto& id : unsettled) {
        auto settled = settle(id);
        if (!settled)
            log::warning("container " + id.substr(0, 12) + ": " + settled.error().to_string());
    }
    sweep_run_root(unsettled);
    sweep_runtime_root();
    return {};
}

/// Runtime state of containers that are no more: whoever removed them died before the runtime did.
void Engine::sweep_runtime_root() {
    auto names = list_directory(settings_.runtime_root());
    if (!names) return;
    for (const auto& id : *names) {
        if (!is_container_id(id) || path_exists(settings_.run_directory(id))) continue;
        auto row = database_.get(id);
        if (!row || *row) continue;
        ContainerRecord gone;
        gone.id = id;
        if (auto ended = end_dead_container(gone); !ended)
            log::warning("container " + id.substr(0, 12) + ": " + ended.error().to_string());
    }
}

/// Run directories that no record speaks of: their makers died before or after the record existed.
void Engine::sweep_run_root(const std::vector<std::string>& unsettled) {
    auto names = list_directory(settings_.run_root);
    if (!names) return;
    for (const auto& id : *names) {
        if (!is_container_id(id) || std::ranges::find(unsettled, id) != unsettled.end()) continue;
        std::string directory = settings_.run_directory(id);
        auto lock = LockFile::try_acquire(directory + "/lock");
        if (!lock || is_monitor_alive(directory)) continue;
        auto row = database_.get(id);
        bool is_abandoned =
            row &&
            (!*row || ((*row)->intent != Intent::started && (*row)->intent != Intent::removing));
        if (is_abandoned) (void)remove_tree(directory);
    }
}

/// A container that should run and has no monitor any more is ended for good and its record
/// becomes true. Somebody who holds its lock is at work on it: nothing to do.
Result<void> Engine::settle(const std::string& id) {
    std::string directory = settings_.run_directory(id);
    if (is_monitor_alive(directory)) return {};
    if (path_exists(directory)) {
        auto lock = LockFile::try_acquire(directory + "/lock");
        if (!lock && lock.error().code == Errc::conflict) return {};
    }
    LockFile held = TRY(lock_directory(id));
    auto row = TRY(database_.get(id));
    if (!row) return remove_tree(directory);
    LockedContainer container{std::move(*row), std::move(held), std::nullopt};
    TRY(settle_locked(container));
    bool is_settled = container.record.intent != Intent::started;
    return is_settled ? remove_tree(directory) : Result<void>();
}

/// @post  a container that is gone has an empty id; of one that was finished the run directory is
/// gone, and with it the lock that others see
Result<void> Engine::settle_locked(LockedContainer& container) {
    ContainerRecord& record = container.record;
    if (record.intent == Intent::created || record.intent == Intent::exited) return {};
    std::string directory = settings_.run_directory(record.id);
    if (record.intent == Intent::started && is_monitor_alive(directory)) return {};
    std::string id = record.id;
    if (record.intent == Intent::started) TRY(end_dead_container(record));
    TRY(finish(container));
    auto row = TRY(database_.get(id));
    if (!row) {
        record.id.clear();
        return {};
    }
    record = std::move(*row);
    return {};
}

/// Takes the lock anew if its folder went away, and reads the record again.
Result<bool> Engine::relock(LockedContainer& container) {
    if (container.record.id.empty()) return false;
    std::string id = container.record.id;
    if (path_exists(settings_.run_directory(id) + "/lock")) return true;
    container.lock = TRY(lock_directory(id));
    auto row = TRY(database_.get(id));
    if (!row) {
        TRY(remove_tree(settings_.run_directory(id)));
        return false;
    }
    container.record = std::move(*row);
    return true;
}

/// The monitor died (or never lived): what is left of the container ends, and the status says so.
Result<void> Engine::end_dead_container(const ContainerRecord& record) {
    std::string directory = settings_.run_directory(record.id);
    auto status = monitor::load_status(directory);
    bool is_of_this_boot = status && status->boot_id == monitor::boot_id();
    if (is_of_this_boot && status->phase != Phase::exited && status->phase != Phase::failed)
        kill_process(status->pid, status->pid_start);
    if (path_exists(settings_.runtime_root() + "/" + record.id)) {
        auto command = TRY(runtime_command(record.config));
        SpawnRequest request;
        request.program = command.front();
        request.args.assign(command.begin() + 1, command.end());
        request.args.insert(request.args.end(), {"delete", "--force", record.id});
        auto output = TRY(run_command(request));
        if (!output.status.success())
            return fail(Errc::io, "the runtime could not remove the container: " +
                                      std::string(trim(output.err)));
    }
    auto sessions = list_directory(directory + "/exec").value_or(std::vector<std::string>());
    for (const auto& session : sessions) {
        auto session_status = monitor::load_status(directory + "/exec/" + session);
        if (session_status && session_status->boot_id == monitor::boot_id())
            kill_process(session_status->pid, session_status->pid_start);
    }
    if (is_of_this_boot && status->phase == Phase::running) {
        status->phase = Phase::exited;
        status->exit_code = 128 + SIGKILL;
        status->finished_at = format_timestamp(std::chrono::system_clock::now());
        status->error = encode_error(make_error(Errc::io, "its monitor was killed"));
        TRY(monitor::save_status(directory, *status));
    }
    return {};
}

Result<LockedContainer> Engine::lock(const std::string& text) {
    auto record = TRY(database_.find(text));
    LockFile held = TRY(lock_directory(record.id));
    auto row = TRY(database_.get(record.id));
    if (row) {
        LockedContainer container{std::move(*row), std::move(held), std::nullopt};
        TRY(settle_locked(container));
        if (TRY(relock(container))) return container;
    }
    (void)remove_tree(settings_.run_directory(record.id));
    return fail(Errc::not_found, "no such container: " + text, "hull ps -a lists them all");
}

ContainerView Engine::look_at(ContainerRecord record) {
    ContainerView out;
    out.started_at = record.started_at;
    out.finished_at = record.finished_at;
    out.exit_code = record.exit_code;
    out.oom_killed = record.oom_killed;
    out.error = record.error;
    out.state = intent_name(record.intent);
    if (record.intent == Intent::started) {
        out.state = "created";
        auto status = monitor::load_status(settings_.run_directory(record.id));
        if (status && status->boot_id == monitor::boot_id()) {
            bool is_over = status->phase == Phase::exited || status->phase == Phase::failed;
            if (status->phase == Phase::running) out.state = "running";
            if (is_over) out.state = record.auto_remove ? "removing" : "exited";
            out.pid = is_over ? 0 : status->pid;
            out.started_at = status->started_at;
            out.finished_at = status->finished_at;
            out.exit_code = status->exit_code;
            out.oom_killed = status->oom_killed;
        }
    }
    out.record = std::move(record);
    return out;
}

Result<std::vector<ContainerView>> Engine::list() {
    std::vector<ContainerView> out;
    for (auto& record : TRY(database_.list()))
        out.push_back(look_at(std::move(record)));
    return out;
}

Result<ContainerView> Engine::view(const std::string& text) {
    return look_at(TRY(database_.find(text)));
}

}  // namespace hull::engine
