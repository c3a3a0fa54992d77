// run, create, start, attach: everything that starts or joins a container's own process.

#include <unistd.h>

#include "base/file.hpp"
#include "cli/options.hpp"
#include "cli/output.hpp"
#include "cli/session.hpp"
#include "cli/verbs.hpp"
#include "engine/engine.hpp"
#include "engine/image_tool.hpp"
#include "kernel/terminal.hpp"
#include "spec/reference.hpp"
#include "spec/runtime_json.hpp"

namespace hull::cli {

using engine::Engine;
using engine::LockedContainer;
using monitor::FrameType;

namespace {

int report(const Error& error, int code = kHullFailed) {
    print_error(error);
    return code;
}

/// @return  the image's full name: of a short one registries.conf decides it.
Result<std::string> pull(const Engine& engine, const RunWords& words) {
    TRY(spec::parse_reference(words.image));
    std::vector<std::string> args{"pull"};
    if (words.pull == "missing") args.emplace_back("--missing");
    args.push_back(words.image);
    auto done = TRY(engine::run_image_tool(
        engine.settings(),
        {.args = std::move(args), .progress = words.quiet ? "none" : "auto", .hide_output = true}));
    if (done.exit_code == 0) return done.names.empty() ? words.image : done.names.front();
    if (done.error.message.empty()) return fail(Errc::io, "pull " + words.image + " failed");
    return fail(done.error);
}

/// Makes the container; an image that is not here is pulled.
Result<LockedContainer> create_container(Engine& engine, const RunWords& words,
                                         engine::CreateRequest request) {
    auto use_pulled = [&]() -> Result<void> {
        std::string name = TRY(pull(engine, words));
        if (TRY(spec::parse_reference(request.image)).to_string() != name) request.image = name;
        return {};
    };
    if (words.pull == "always") TRY(use_pulled());
    auto created = engine.create(request);
    bool lacks_image =
        !created && created.error().code == Errc::not_found && words.pull == "missing";
    if (!lacks_image) return created;
    TRY(use_pulled());
    return engine.create(request);
}

/// The file is made before the container, so that a run that cannot record its id does nothing.
Result<void> write_cid_file(const std::string& path, const std::string& id) {
    if (path.empty()) return {};
    return write_file_atomically(path, id);
}

Result<void> check_terminal(const RunWords& words) {
    if (words.terminal && words.interactive && !words.detach && !kernel::is_terminal(0))
        return fail(Errc::invalid, "-t with -i needs a terminal on stdin, and this is none",
                    "leave out -t, or run it from a terminal");
    if (!words.cid_file.empty() && path_exists(words.cid_file))
        return fail(Errc::exists, "--cidfile " + words.cid_file + " exists", "remove it");
    return {};
}

std::optional<spec::ConsoleSize> console_size(bool terminal) {
    auto size = own_terminal_size();
    if (!terminal || !size) return std::nullopt;
    return spec::ConsoleSize{size->rows, size->columns};
}

/// Until the monitor has done the on-exit work.
void wait_for_monitor(engine::MonitorConnection& connection) {
    while (true) {
        auto frame = connection.receive();
        if (!frame || !*frame) return;
    }
}

/// Until the runtime has removed what it made, or the monitor is gone.
void wait_until_deleted(engine::MonitorConnection& connection) {
    while (true) {
        auto frame = connection.receive();
        if (!frame || !*frame || (*frame)->type == FrameType::deleted) return;
    }
}

struct Foreground {
    std::string id;
    bool is_owner = false;
    bool auto_remove = false;
    SessionOptions session;
    std::function<void()> before_finish;  ///< gives up the container's lock
};

/// After the container has ended: the work that its monitor leaves to us. To remove it all we need
/// not know how it ended, which the monitor has written down only when it says `deleted`. What the
/// monitor does after that leaves no trace, and is not waited for.
void finish_as_owner(Engine& engine, engine::MonitorConnection& connection, const Foreground& how) {
    if (!how.auto_remove) wait_until_deleted(connection);
    if (auto done = engine.finish_by_id(how.id); !done) print_error(done.error());
    if (how.auto_remove) wait_until_deleted(connection);
    (void)connection.send(FrameType::finished);
}

/// Takes part until the end. @return  the exit code of our process
int stay_attached(Engine& engine, engine::MonitorConnection& connection, const Foreground& how) {
    auto result = run_session(connection, how.session);
    if (!result) return report(result.error());
    if (result->end == SessionEnd::detached) return 0;
    if (how.before_finish) how.before_finish();
    if (result->end == SessionEnd::monitor_gone) {
        // Killed under us: opening settles what is left of the container.
        (void)engine.settle(how.id);
        print_error(make_error(Errc::io, "the container's monitor was killed",
                               "hull ps -a shows what became of it"));
        return 128 + 9;
    }
    if (how.is_owner)
        finish_as_owner(engine, connection, how);
    else
        wait_for_monitor(connection);
    if (result->end == SessionEnd::failed)
        return report(result->error, engine::exit_code_of_failure(result->error));
    return result->exit_code;
}

/// Waits until it runs, then gives up the lock: after a failure the on-exit work needs it.
/// @return  how it failed, if it did
Result<void> wait_for_start(engine::MonitorConnection& connection,
                            std::optional<LockedContainer>& lock) {
    while (true) {
        auto frame = TRY(connection.receive());
        if (!frame) return fail(Errc::io, "the container's monitor ended before it started");
        if (frame->type == FrameType::started || frame->type == FrameType::exited) return {};
        if (frame->type != FrameType::failed) continue;
        lock.reset();
        wait_for_monitor(connection);
        auto error = decode_error(frame->payload);
        return fail(error ? std::move(*error) : make_error(Errc::internal, frame->payload));
    }
}

/// As an ordinary user the on-exit work needs the monitor's user namespace.
bool may_own(const Engine& engine) {
    return !engine.settings().is_rootless;
}

int run_detached(Engine& engine, LockedContainer container, bool print_id) {
    std::string id = container.record.id;
    auto started = engine.start(container, {.wants = 0});
    if (!started) return report(started.error());
    std::optional<LockedContainer> lock(std::move(container));
    auto running = wait_for_start(*started, lock);
    if (!running) return report(running.error(), engine::exit_code_of_failure(running.error()));
    if (print_id) print(id + "\n");
    return 0;
}

int run_attached(Engine& engine, LockedContainer created, const SessionOptions& session) {
    std::optional<LockedContainer> container(std::move(created));
    Foreground how;
    how.id = container->record.id;
    how.is_owner = may_own(engine);
    how.auto_remove = container->record.auto_remove;
    how.session = session;
    uint8_t wants = monitor::kWantsOutput;
    if (session.forward_stdin) wants |= monitor::kWantsInput;
    if (how.is_owner) wants |= monitor::kIsOwner;
    auto started =
        engine.start(*container, {.wants = wants, .console_size = console_size(session.terminal)});
    if (!started) return report(started.error());
    // Others may act on it as soon as it runs, or has failed to.
    auto give_up_lock = [&] { container.reset(); };
    how.session.on_started = give_up_lock;
    how.before_finish = give_up_lock;
    return stay_attached(engine, *started, how);
}

}  // namespace

int cmd_create(const GlobalWords& global, const RunWords& words) {
    auto work = [&]() -> Result<std::string> {
        auto request = TRY(to_create_request(words));
        auto engine = TRY(Engine::open(global.settings));
        auto container = TRY(create_container(engine, words, request));
        for (const auto& warning : container.record.config.warnings)
            print_warning(warning);
        TRY(write_cid_file(words.cid_file, container.record.id));
        TRY(engine.release_unstarted(container));
        return container.record.id;
    };
    auto id = work();
    if (!id) return report(id.error());
    print(*id + "\n");
    return 0;
}

namespace {

Result<int> dry_run(const GlobalWords& global, const RunWords& words,
                    const engine::CreateRequest& request) {
    auto engine = TRY(Engine::open(global.settings));
    auto container = TRY(create_container(engine, words, request));
    auto config = engine.plan_bundle(container, {});
    TRY(engine.discard(container));
    if (!config) return fail(std::move(config).error());
    print(spec::format_runtime_config(*config, 2) + "\n");
    return 0;
}

}  // namespace

int cmd_run(const GlobalWords& global, const RunWords& words) {
    auto work = [&]() -> Result<int> {
        auto request = TRY(to_create_request(words));
        request.start_at_once = true;
        TRY(check_terminal(words));
        SessionOptions session;
        session.terminal = words.terminal;
        session.forward_stdin = words.interactive;
        session.forward_signals = !words.no_signal_proxy;
        session.detach_keys = TRY(parse_detach_keys(words.detach_keys));
        if (words.dry_run) return dry_run(global, words, request);
        // It gets ready while we find out for what.
        auto monitor = TRY(engine::IdleMonitor::start(monitor::Purpose::container));
        auto engine = TRY(Engine::open(global.settings));
        engine.keep(std::move(monitor));
        auto container = TRY(create_container(engine, words, request));
        for (const auto& warning : container.record.config.warnings)
            print_warning(warning);
        TRY(write_cid_file(words.cid_file, container.record.id));
        if (words.detach) return run_detached(engine, std::move(container), true);
        return run_attached(engine, std::move(container), session);
    };
    auto code = work();
    return code ? *code : report(code.error());
}

int cmd_start(const GlobalWords& global, const AttachWords& words) {
    auto engine = Engine::open(global.settings);
    if (!engine) return report(engine.error(), 1);
    int code = 0;
    for (const auto& name : words.containers) {
        auto work = [&]() -> Result<int> {
            auto container = TRY(engine->lock(name));
            if (container.record.intent == engine::Intent::started) {
                print(name + "\n");  // it runs already, as was wanted
                return 0;
            }
            if (words.attach || words.interactive) {
                SessionOptions session;
                session.terminal = container.record.config.terminal;
                session.forward_stdin = words.interactive && container.record.config.open_stdin;
                session.forward_signals = true;
                session.detach_keys = TRY(parse_detach_keys(words.detach_keys));
                return run_attached(*engine, std::move(container), session);
            }
            int failed = run_detached(*engine, std::move(container), false);
            if (failed == 0) print(name + "\n");
            return failed == 0 ? 0 : 1;
        };
        auto done = work();
        if (!done)
            code = report(done.error(), 1);
        else if (*done != 0)
            code = *done;
    }
    return code;
}

int cmd_attach(const GlobalWords& global, const AttachWords& words) {
    auto work = [&]() -> Result<int> {
        auto engine = TRY(Engine::open(global.settings));
        const std::string& name = words.containers.front();
        auto found = TRY(engine.view(name));
        SessionOptions session;
        session.terminal = found.record.config.terminal;
        session.forward_stdin = !words.no_stdin && found.record.config.open_stdin;
        session.forward_signals = true;
        session.detach_keys = TRY(parse_detach_keys(words.detach_keys));
        auto connection = TRY(engine.attach(
            name, monitor::kWantsOutput | (session.forward_stdin ? monitor::kWantsInput : 0)));
        return stay_attached(engine, connection,
                             {.id = found.record.id, .session = session, .before_finish = {}});
    };
    auto code = work();
    return code ? *code : report(code.error(), 1);
}

int cmd_exec(const GlobalWords& global, const ExecWords& words) {
    auto work = [&]() -> Result<int> {
        if (words.terminal && words.interactive && !words.detach && !kernel::is_terminal(0))
            return fail(Errc::invalid, "-t with -i needs a terminal on stdin, and this is none",
                        "leave out -t, or run it from a terminal");
        engine::ExecRequest request;
        request.args = words.command;
        request.env = TRY(to_environment(words.env, words.env_files));
        request.working_dir = words.working_dir;
        request.user = words.user;
        request.terminal = words.terminal;
        request.keep_stdin = words.interactive;
        request.privileged = words.privileged;
        request.console_size = console_size(words.terminal);
        if (!words.detach) request.wants = monitor::kWantsOutput;
        SessionOptions session;
        session.terminal = words.terminal;
        session.forward_stdin = words.interactive;
        session.forward_signals = true;
        session.detach_keys = TRY(parse_detach_keys(words.detach_keys));
        auto monitor = TRY(engine::IdleMonitor::start(monitor::Purpose::session));
        auto engine = TRY(Engine::open(global.settings));
        engine.keep(std::move(monitor));
        auto started = TRY(engine.exec(words.container, request));
        if (words.detach) {
            std::optional<LockedContainer> none;
            auto running = wait_for_start(started, none);
            if (!running)
                return report(running.error(), engine::exit_code_of_failure(running.error()));
            return 0;
        }
        auto result = TRY(run_session(started, session));
        if (result.end == SessionEnd::detached) return 0;
        if (result.end == SessionEnd::monitor_gone) return 128 + 9;
        wait_for_monitor(started);
        if (result.end == SessionEnd::failed)
            return report(result.error, engine::exit_code_of_failure(result.error));
        return result.exit_code;
    };
    auto code = work();
    if (code) return *code;
    // As docker: not found or not running is the command's failure, 1.
    bool is_of_container =
        code.error().code == Errc::not_found || code.error().code == Errc::conflict;
    return report(code.error(), is_of_container ? 1 : kHullFailed);
}

}  // namespace hull::cli
