// exec: one more process in a running container, with a small monitor of its own.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.hpp"
#include "engine/bundle.hpp"
#include "engine/engine.hpp"
#include "kernel/process.hpp"
#include "kernel/rooted_path.hpp"
#include "spec/runtime_json.hpp"

namespace hull::engine {
namespace {

/// Reads the running container's own files: from its root, of which nothing leads out.
/// @param pid  its first process, held by `process` so that it cannot be another's
Result<ResolvedUser> resolve_in_container(pid_t pid, const std::string& user) {
    auto root = TRY(kernel::RootedPath::open("/proc/" + std::to_string(pid) + "/root"));
    return resolve_user(user, {}, [&](std::string_view path) -> Result<std::optional<std::string>> {
        auto text = root.read_file(path, 1U << 20U);
        if (text) return std::move(*text);
        if (text.error().code == Errc::not_found) return std::nullopt;
        return fail(std::move(text).error());
    });
}

uint32_t host_id(const std::vector<spec::IdMapping>& mappings, uint32_t id) {
    for (const auto& mapping : mappings)
        if (id >= mapping.container_id && id - mapping.container_id < mapping.size)
            return mapping.host_id + (id - mapping.container_id);
    return id;
}

}  // namespace

Result<MonitorConnection> Engine::exec(const std::string& text, const ExecRequest& request) {
    auto found = TRY(view(text));
    if (found.state != "running")
        return fail(Errc::conflict, "container " + found.record.name + " is not running",
                    "hull start " + found.record.name);
    std::string run = settings_.run_directory(found.record.id);
    auto status = TRY(monitor::load_status(run));
    Fd process = TRY(kernel::open_process({status.pid, status.pid_start}));
    auto config = TRY(spec::load_runtime_config(run + "/config.json"));
    if (!config.process) return fail(Errc::corrupt, run + "/config.json has no process");

    ExecInputs inputs;
    inputs.args = request.args;
    inputs.env = request.env;
    inputs.working_dir = request.working_dir;
    inputs.terminal = request.terminal;
    inputs.privileged = request.privileged;
    inputs.console_size = request.console_size;
    inputs.is_other_user = !request.user.empty();
    if (inputs.is_other_user) inputs.user = TRY(resolve_in_container(status.pid, request.user));
    auto spec_process = TRY(make_exec_process(*config.process, inputs));

    monitor::MonitorSettings settings;
    settings.id = create_container_id().substr(0, 32);
    settings.directory = run + "/exec/" + settings.id;
    settings.exec_container = found.record.id;
    settings.runtime = TRY(runtime_command(found.record.config));
    settings.own_runtime = uses_own_runtime(found.record.config);
    settings.rootless = settings_.is_rootless;
    if (settings_.is_rootless) settings.join_user_namespace_of = status.monitor_pid;
    settings.terminal = request.terminal;
    settings.keep_stdin = request.keep_stdin;
    settings.stdio_uid = host_id(config.linux_.uid_mappings, spec_process.user.uid);
    settings.stdio_gid = host_id(config.linux_.gid_mappings, spec_process.user.gid);
    settings.remove_directory = true;
    TRY(create_directories(settings.directory, 0711));
    std::string file = settings.directory + "/" + std::string(monitor::kProcessFile);
    auto write = [&]() -> Result<MonitorConnection> {
        Fd out = TRY(open_path(file, O_WRONLY | O_CREAT | O_EXCL, 0600));
        TRY(write_all(out.get(), spec::format_process(spec_process)));
        auto monitor = TRY(take_monitor(monitor::Purpose::session));
        return monitor.put_to_work(settings, request.wants);
    };
    auto started = write();
    if (!started) (void)remove_tree(settings.directory);
    return started;
}

}  // namespace hull::engine
