#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file.hpp"
#include "base/result.hpp"
#include "base/units.hpp"
#include "engine/containers.hpp"
#include "engine/database.hpp"
#include "engine/monitor_client.hpp"
#include "engine/settings.hpp"
#include "engine/users.hpp"
#include "monitor/status.hpp"
#include "spec/runtime.hpp"
#include "store/images.hpp"
#include "store/snapshots.hpp"
#include "store/store.hpp"

namespace hull::engine {

/// A container to make.
struct CreateRequest {
    std::string image;
    std::string name;  ///< empty: one is made up
    /// What was asked for; `entrypoint` and `command` of it are not used.
    ContainerConfig options;
    std::optional<std::vector<std::string>> entrypoint;  ///< --entrypoint; {} or {""}: none
    std::vector<std::string> command;
    bool auto_remove = false;
    bool start_at_once = false;  ///< it is recorded as started right away
    std::optional<std::string> cid_file;
};

/// A container that nobody else can change while this lives.
struct LockedContainer {
    ContainerRecord record;
    LockFile lock;
    /// Of a container just made; else read when needed.
    std::optional<store::SnapshotMounts> snapshot;
};

/// A container as it is now: intent and facts together.
struct ContainerView {
    ContainerRecord record;
    std::string state;  ///< docker's words: created, running, exited, removing
    pid_t pid = 0;
    std::string started_at;
    std::string finished_at;
    int exit_code = 0;
    bool oom_killed = false;
    std::string error;
};

/// What one kind of thing takes on disk, in allocated bytes.
struct KindUsage {
    uint64_t total = 0;
    uint64_t active = 0;  ///< images and volumes that containers use; containers that run
    Bytes size;
    Bytes reclaimable;  ///< of what is not active
};
struct SystemUsage {
    KindUsage images;
    KindUsage containers;
    KindUsage volumes;
    Bytes unfinished;  ///< downloads and layers whose making was cut short
};

struct StartOptions {
    uint8_t wants = 0;  ///< of the connection that is returned; see monitor/attach.hpp
    std::optional<spec::ConsoleSize> console_size;
};

struct ExecRequest {
    std::vector<std::string> args;
    std::vector<std::string> env;
    std::string working_dir;
    std::string user;
    bool terminal = false;
    bool keep_stdin = false;
    bool privileged = false;
    uint8_t wants = 0;
    std::optional<spec::ConsoleSize> console_size;
};

/// What every front end calls. One thread; any number of processes may work at the same time.
class Engine {
  public:
    /// Opens the state, and settles what died since the last command.
    static Result<Engine> open(const SettingsRequest& request);

    /// Takes a monitor that was started early, for the next start() or exec(); those that find none
    /// start their own.
    void keep(IdleMonitor monitor) { idle_monitor_.emplace(std::move(monitor)); }

    const Settings& settings() const { return settings_; }
    Database& database() { return database_; }
    /// The image store, opened when first needed.
    Result<store::Store*> store();

    /// Records a container of an image that is here and makes its snapshot.
    /// @errors not_found: no such image (the caller pulls it); exists: the name
    Result<LockedContainer> create(const CreateRequest& request);
    /// Starts its monitor; the container's fate arrives over the connection: started or failed,
    /// later exited. After a failure nothing is left (and with --rm no record either).
    Result<MonitorConnection> start(LockedContainer& container, const StartOptions& options);
    /// config.json of a container, without starting it.
    Result<spec::RuntimeConfig> plan_bundle(LockedContainer& container,
                                            const StartOptions& options);

    /// Finds a container and locks it. Its record is true: what died is settled.
    Result<LockedContainer> lock(const std::string& text);
    /// For containers that ended: moves the facts of the last run into the record, or removes it
    /// all when that was asked for. Idempotent.
    Result<void> finish(LockedContainer& container);
    /// For a container that create() made and that is not started now.
    Result<void> release_unstarted(LockedContainer& container);
    /// Undoes create().
    Result<void> discard(LockedContainer& container);
    /// A container whose monitor died is ended for good and its record becomes true.
    Result<void> settle(const std::string& id);
    /// finish() for whoever finds the container ended; no error if it is gone.
    Result<void> finish_by_id(const std::string& id);

    Result<std::vector<ContainerView>> list();
    Result<ContainerView> view(const std::string& text);

    /// @errors conflict: it does not run
    Result<void> kill(const std::string& text, int signal);
    /// The stop signal, then SIGKILL after `timeout`; no error if it does not run.
    Result<void> stop(const std::string& text, std::optional<std::chrono::seconds> timeout);
    /// Until it has ended. @return  its exit code
    Result<int> wait(const std::string& text);
    struct RemoveOptions {
        bool force = false;
        bool volumes = false;  ///< its anonymous volumes as well
    };
    /// @errors conflict: it runs, and `force` is not set
    Result<void> remove(const std::string& text, RemoveOptions options);
    Result<void> rename(const std::string& text, const std::string& name);
    /// @errors conflict: it does not run
    Result<MonitorConnection> attach(const std::string& text, uint8_t wants);
    Result<MonitorConnection> exec(const std::string& text, const ExecRequest& request);

    /// Removes the name, and the image when it has lost its last one.
    /// @return what was done, one line each, as docker prints it
    Result<std::vector<std::string>> remove_image(const std::string& text, bool force);

    /// Walks all of the state.
    Result<SystemUsage> disk_usage();

    /// No error if it is there.
    Result<void> create_volume(const std::string& name);
    /// @errors not_found; conflict: a container uses it
    Result<void> remove_volume_by_name(const std::string& name, bool force);

  private:
    Engine(Settings settings, Database database)
        : settings_(std::move(settings)), database_(std::move(database)) {}

    Result<LockFile> lock_directory(const std::string& id);
    Result<void> settle_all();
    Result<void> settle_locked(LockedContainer& container);
    Result<bool> relock(LockedContainer& container);
    void sweep_run_root(const std::vector<std::string>& unsettled);
    void sweep_runtime_root();
    Result<void> end_dead_container(const ContainerRecord& record);
    ContainerView look_at(ContainerRecord record);
    /// A connection to the container's monitor, be the container only starting; nullopt: there is
    /// no monitor.
    Result<std::optional<MonitorConnection>> connect_living(const ContainerRecord& record);
    Result<void> kill_and_wait(MonitorConnection& connection);

    Result<ContainerConfig> merge_image(const CreateRequest& request, const store::Image& image);
    Result<void> give_range(ContainerRecord& record, uint32_t highest_id,
                            std::optional<Database::Pool>& pool);
    Result<void> delete_everything(LockedContainer& container, bool volumes);
    Result<void> delete_snapshot(const std::string& id);
    Result<void> delete_tree(const std::string& path);
    Result<void> create_volume_directory(const std::string& name);
    Result<void> remove_volume(const std::string& name);
    Result<void> run_in_user_namespace(const std::function<Result<void>()>& work);

    struct Prepared;
    Result<Prepared> prepare_start(LockedContainer& container, const StartOptions& options);
    Result<MonitorConnection> start_prepared(LockedContainer& container,
                                             const StartOptions& options);
    Result<std::vector<spec::Mount>> prepare_mounts(LockedContainer& container, Prepared& prepared);
    Result<spec::Mount> prepare_volume(const ContainerRecord& record, const MountConfig& wanted,
                                       Prepared& prepared);
    Result<spec::Mount> prepare_bind(const ContainerRecord& record, const MountConfig& wanted);
    std::string rootfs_directory(const std::string& id) const;
    Result<store::SnapshotMounts> snapshot_of(LockedContainer& container);
    Result<IdleMonitor> take_monitor(monitor::Purpose purpose);
    std::vector<std::string> on_exit_command(const std::string& id) const;
    Result<std::vector<std::string>> runtime_command(const ContainerConfig& config) const;

    Settings settings_;
    Database database_;
    std::optional<store::Store> store_;
    std::optional<IdleMonitor> idle_monitor_;
};

/// Whether no other OCI runtime was asked for.
bool uses_own_runtime(const ContainerConfig& config);

/// How a runtime's or monitor's failure ends a docker-like command: 127 not found, 126 cannot be
/// executed, else 125 (or 128, what docker records for a container that never ran).
int exit_code_of_failure(const Error& error);

}  // namespace hull::engine
