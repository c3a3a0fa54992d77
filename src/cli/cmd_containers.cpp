// ps, and the verbs that act on each of some names.

#include <algorithm>
#include <csignal>

#include "base/text.hpp"
#include "base/units.hpp"
#include "cli/output.hpp"
#include "cli/verbs.hpp"
#include "engine/bundle.hpp"
#include "engine/engine.hpp"
#include "kernel/process.hpp"
#include "spec/reference.hpp"

namespace hull::cli {

using engine::ContainerView;
using engine::Engine;

namespace {

constexpr size_t kShortId = 12;
constexpr size_t kShortCommand = 20;

std::string status_text(const ContainerView& view) {
    if (view.state == "running") {
        std::string since = time_ago(view.started_at);
        if (since.ends_with(" ago")) since.resize(since.size() - 4);
        return "Up " + since;
    }
    if (view.state == "exited")
        return "Exited (" + std::to_string(view.exit_code) + ") " + time_ago(view.finished_at);
    std::string state = view.state;
    state[0] = static_cast<char>(state[0] - 'a' + 'A');
    return state;
}

std::string labels_text(const ContainerView& view) {
    std::vector<std::string> out;
    for (const auto& [name, value] : view.record.config.labels)
        out.push_back(name + "=" + value);
    return join(out, ",");
}

std::string mounts_text(const ContainerView& view) {
    std::vector<std::string> out;
    for (const auto& mount : view.record.config.mounts)
        if (!mount.source.empty()) out.push_back(mount.source);
    return join(out, ",");
}

bool matches_label(const ContainerView& view, std::string_view wanted) {
    size_t equals = wanted.find('=');
    return std::ranges::any_of(view.record.config.labels, [&](const auto& label) {
        return label.first == wanted.substr(0, equals) &&
               (equals == std::string_view::npos || label.second == wanted.substr(equals + 1));
    });
}

/// "docker.io/library/busybox:latest" and "busybox" are one image.
bool matches_image(const ContainerView& view, const std::string& wanted) {
    if (view.record.image == wanted || view.record.image_id.substr(7).starts_with(wanted))
        return true;
    auto a = spec::parse_reference(view.record.image);
    auto b = spec::parse_reference(wanted);
    return a && b && *a == *b;
}

/// Filters of one name are alternatives, of different names all hold, as in docker.
Result<bool> matches_filters(const ContainerView& view, const std::vector<std::string>& filters) {
    std::vector<std::pair<std::string, bool>> names;
    for (const auto& filter : filters) {
        size_t equals = filter.find('=');
        if (equals == std::string::npos)
            return fail(Errc::invalid, "--filter " + quote(filter) + " has no value",
                        "write NAME=VALUE");
        std::string name = filter.substr(0, equals);
        std::string value = filter.substr(equals + 1);
        bool matches = false;
        if (name == "name")
            matches = view.record.name.find(value) != std::string::npos;
        else if (name == "id")
            matches = view.record.id.starts_with(value);
        else if (name == "status")
            matches = view.state == value;
        else if (name == "label")
            matches = matches_label(view, value);
        else if (name == "ancestor")
            matches = matches_image(view, value);
        else if (name == "exited")
            matches = view.state == "exited" && std::to_string(view.exit_code) == value;
        else if (name == "volume")
            matches = std::ranges::any_of(view.record.config.mounts, [&](const auto& mount) {
                return mount.source == value || mount.target == value;
            });
        else
            return fail(Errc::invalid, "--filter: there is no filter " + quote(name),
                        "filters are name, id, status, label, ancestor, exited and volume");
        auto known = std::ranges::find(names, name, &std::pair<std::string, bool>::first);
        if (known == names.end())
            names.emplace_back(name, matches);
        else
            known->second = known->second || matches;
    }
    return std::ranges::all_of(names, [](const auto& entry) { return entry.second; });
}

Table container_table() {
    Table table;
    table.columns = {{"ID", "CONTAINER ID"},
                     {"Image", "IMAGE"},
                     {"Command", "COMMAND"},
                     {"RunningFor", "CREATED"},
                     {"Status", "STATUS"},
                     {"Ports", "PORTS", false},
                     {"Names", "NAMES"},
                     {"State", "STATE", false},
                     {"CreatedAt", "CREATED AT", false},
                     {"Labels", "LABELS", false},
                     {"Mounts", "MOUNTS", false},
                     {"Networks", "NETWORKS", false}};
    return table;
}

std::vector<std::string> container_row(const ContainerView& view, bool whole) {
    const auto& record = view.record;
    std::string command = join(engine::process_args(record.config), " ");
    std::ranges::replace(command, '\n', ' ');
    if (!whole && command.size() > kShortCommand) command = command.substr(0, 19) + "…";
    return {whole ? record.id : record.id.substr(0, kShortId),
            record.image,
            "\"" + command + "\"",
            time_ago(record.created_at),
            status_text(view),
            "",
            record.name,
            view.state,
            record.created_at,
            labels_text(view),
            mounts_text(view),
            record.config.network == engine::NetworkMode::host ? "host" : "none"};
}

Result<std::vector<ContainerView>> choose(Engine& engine, const ListWords& words) {
    bool asks_for_state = std::ranges::any_of(words.filters, [](const std::string& filter) {
        return filter.starts_with("status=") || filter.starts_with("exited=");
    });
    std::vector<ContainerView> out;
    for (auto& view : TRY(engine.list())) {
        bool is_shown = words.all || words.last || asks_for_state || view.state == "running";
        if (!is_shown || !TRY(matches_filters(view, words.filters))) continue;
        if (words.last && static_cast<int>(out.size()) >= *words.last) break;
        out.push_back(std::move(view));
    }
    return out;
}

}  // namespace

int cmd_ps(const GlobalWords& global, const ListWords& words) {
    auto work = [&]() -> Result<std::string> {
        auto engine = TRY(Engine::open(global.settings));
        auto views = TRY(choose(engine, words));
        if (words.quiet) {
            std::string out;
            for (const auto& view : views)
                out += (words.no_truncate ? view.record.id : view.record.id.substr(0, kShortId)) +
                       "\n";
            return out;
        }
        Table table = container_table();
        for (const auto& view : views)
            table.rows.push_back(container_row(view, words.no_truncate));
        return format_table(table, words.format);
    };
    auto text = work();
    if (!text) {
        print_error(text.error());
        return 1;
    }
    print(*text);
    return 0;
}

namespace {

Result<void> restart(Engine& engine, const std::string& name, const NamesWords& words) {
    std::optional<std::chrono::seconds> time;
    if (words.time) time = std::chrono::seconds(*words.time);
    TRY(engine.stop(name, time));
    auto container = TRY(engine.lock(name));
    auto started = TRY(engine.start(container, {}));
    while (true) {
        auto frame = TRY(started.receive());
        if (!frame) return fail(Errc::io, "the container's monitor ended before it started");
        if (frame->type == monitor::FrameType::failed) {
            auto error = decode_error(frame->payload);
            return fail(error ? *error : make_error(Errc::internal, frame->payload));
        }
        if (frame->type == monitor::FrameType::started || frame->type == monitor::FrameType::exited)
            return {};
    }
}

Result<std::string> act(Engine& engine, const std::string& verb, const std::string& name,
                        const NamesWords& words) {
    if (verb == "stop") {
        std::optional<std::chrono::seconds> time;
        if (words.time) time = std::chrono::seconds(*words.time);
        TRY(engine.stop(name, time));
    } else if (verb == "restart") {
        TRY(restart(engine, name, words));
    } else if (verb == "kill") {
        int signal = words.signal.empty() ? SIGKILL : TRY(kernel::parse_signal(words.signal));
        TRY(engine.kill(name, signal));
    } else if (verb == "rm") {
        auto removed = engine.remove(name, {.force = words.force, .volumes = words.volumes});
        bool was_gone = !removed && words.force && removed.error().code == Errc::not_found;
        if (!removed && !was_gone) return fail(std::move(removed).error());
        if (was_gone) {
            print_error(removed.error());
            return std::string();
        }
    } else if (verb == "wait") {
        return std::to_string(TRY(engine.wait(name)));
    } else if (verb == "rmi") {
        return join(TRY(engine.remove_image(name, words.force)), "\n");
    } else if (verb == "volume rm") {
        TRY(engine.remove_volume_by_name(name, words.force));
    } else if (verb == "volume create") {
        TRY(engine.create_volume(name));
    } else if (verb == "container on-exit") {
        TRY(engine.finish_by_id(name));
        return std::string();
    }
    return name;
}

}  // namespace

int cmd_names(const GlobalWords& global, const std::string& verb, const NamesWords& words) {
    auto engine = Engine::open(global.settings);
    if (!engine) {
        print_error(engine.error());
        return 1;
    }
    if (verb == "rename") {
        auto renamed = engine->rename(words.names[0], words.names[1]);
        if (!renamed) print_error(renamed.error());
        return renamed ? 0 : 1;
    }
    int code = 0;
    for (const auto& name : words.names) {
        auto done = act(*engine, verb, name, words);
        if (!done) {
            print_error(done.error());
            code = 1;
        } else if (!done->empty()) {
            print(*done + "\n");
        }
    }
    return code;
}

}  // namespace hull::cli
