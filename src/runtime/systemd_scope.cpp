#include "runtime/systemd_scope.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "kernel/cgroup.hpp"
#include "runtime/dbus.hpp"
#include "runtime/systemd_properties.hpp"

namespace hull::runtime {
namespace {

constexpr const char* kService = "org.freedesktop.systemd1";
constexpr const char* kManagerPath = "/org/freedesktop/systemd1";
constexpr const char* kManager = "org.freedesktop.systemd1.Manager";
constexpr int kJobTimeoutMs = 30000;

std::string unix_path_of(const char* address) {
    // "unix:path=/run/user/1000/bus,guid=…;…"
    constexpr std::string_view kPrefix = "unix:path=";
    std::string_view text = address == nullptr ? "" : address;
    if (!text.starts_with(kPrefix)) return {};
    text.remove_prefix(kPrefix.size());
    return std::string(text.substr(0, text.find_first_of(",;")));
}

/// Where to look, first choice first: the bus, then systemd's own socket (a machine without a bus).
std::vector<DbusConnection::Address> addresses(bool is_user_bus) {
    std::vector<DbusConnection::Address> list;
    auto add = [&](std::string path, bool is_bus) {
        if (!path.empty() && path_exists(path)) list.push_back({std::move(path), is_bus});
    };
    if (is_user_bus) {
        const char* runtime = getenv("XDG_RUNTIME_DIR");
        add(unix_path_of(getenv("DBUS_SESSION_BUS_ADDRESS")), true);
        if (runtime != nullptr) {
            add(join_path(runtime, "bus"), true);
            add(join_path(runtime, "systemd/private"), false);
        }
        return list;
    }
    add(unix_path_of(getenv("DBUS_SYSTEM_BUS_ADDRESS")), true);
    add("/run/dbus/system_bus_socket", true);
    add("/run/systemd/private", false);
    return list;
}

Result<DbusConnection> connect_systemd(bool is_user_bus) {
    std::optional<Error> first;
    for (const auto& address : addresses(is_user_bus)) {
        auto connection = DbusConnection::open(address);
        if (connection) return connection;
        log::debug(connection.error().to_string());
        if (!first) first = std::move(connection).error();
    }
    if (first) return fail(std::move(*first));
    return fail(Errc::not_found,
                is_user_bus ? "no bus of the user's systemd was found"
                            : "no system bus was found: /run/dbus/system_bus_socket",
                "systemd does not run here: use the cgroupfs manager (leave --systemd-cgroup out)");
}

DbusMessage manager_call(std::string member, std::string signature, const DbusWriter& body) {
    return {.path = kManagerPath,
            .interface = kManager,
            .member = std::move(member),
            .destination = kService,
            .signature = std::move(signature),
            .body = body.bytes()};
}

DbusWriter one_string(std::string_view text) {
    DbusWriter writer;
    writer.put_string(text);
    return writer;
}

/// Signals come only to subscribers; on systemd's own socket they come anyway.
Result<void> subscribe(DbusConnection& connection) {
    auto matched = connection.call(
        {.path = "/org/freedesktop/DBus",
         .interface = "org.freedesktop.DBus",
         .member = "AddMatch",
         .destination = "org.freedesktop.DBus",
         .signature = "s",
         .body = one_string("type='signal',sender='org.freedesktop.systemd1',"
                            "interface='org.freedesktop.systemd1.Manager',member='JobRemoved'")
                     .bytes()});
    if (!matched) log::debug("systemd: " + matched.error().to_string());
    auto subscribed = connection.call(manager_call("Subscribe", "", {}));
    if (!subscribed) log::debug("systemd: " + subscribed.error().to_string());
    return {};
}

/// Waits until `job` is gone. @return  its result: "done", "canceled", "timeout", "failed" …
Result<std::string> wait_for_job(DbusConnection& connection, const std::string& job) {
    auto signal = TRY(connection.wait_signal(
        [&](const DbusMessage& message) {
            if (message.member != "JobRemoved") return false;
            DbusReader reader(message.body);
            reader.uint32();
            return reader.string() == job;
        },
        kJobTimeoutMs));
    DbusReader reader(signal.body);
    reader.uint32();
    reader.string();
    reader.string();
    return reader.string();
}

Result<std::string> get_property(DbusConnection& connection, const std::string& object,
                                 const std::string& interface, const std::string& name) {
    DbusWriter body;
    body.put_string(interface);
    body.put_string(name);
    auto reply = TRY(connection.call({.path = object,
                                      .interface = "org.freedesktop.DBus.Properties",
                                      .member = "Get",
                                      .destination = kService,
                                      .signature = "ss",
                                      .body = body.bytes()}));
    DbusReader reader(reply.body);
    if (reader.signature() != "s") return fail(Errc::corrupt, "systemd: " + name + " is no text");
    std::string value = reader.string();
    if (!reader.is_good())
        return fail(Errc::corrupt, "systemd: reply to " + name + " is cut short");
    return value;
}

Result<std::string> unit_cgroup(DbusConnection& connection, const std::string& unit) {
    auto reply = TRY(connection.call(manager_call("GetUnit", "s", one_string(unit))));
    const std::string object = DbusReader(reply.body).string();
    const char* kind = unit.ends_with(".slice") ? "org.freedesktop.systemd1.Slice"
                                                : "org.freedesktop.systemd1.Scope";
    return get_property(connection, object, kind, "ControlGroup");
}

Result<std::vector<UnitProperty>> scope_properties(const SystemdScopeRequest& request, bool is_v2) {
    const std::string unit = request.name.unit();
    std::vector<UnitProperty> list = {string_property("Description", request.description)};
    if (unit.ends_with(".slice")) {
        list.push_back(string_property("Wants", request.name.slice));
    } else {
        list.push_back(string_property("Slice", request.name.slice));
        list.push_back(bool_property("Delegate", true));
        if (!request.pids.empty()) list.push_back(pids_property("PIDs", request.pids));
    }
    for (const char* name : {"MemoryAccounting", "CPUAccounting", "TasksAccounting"})
        list.push_back(bool_property(name, true));
    list.push_back(bool_property(is_v2 ? "IOAccounting" : "BlockIOAccounting", true));
    list.push_back(bool_property("DefaultDependencies", false));
    for (auto& property : TRY(resource_properties(request.resources, is_v2)))
        list.push_back(std::move(property));
    for (const auto& [name, value] : request.properties) {
        auto property = TRY(parse_property_annotation(name, value));
        std::erase_if(list, [&](const auto& known) { return known.name == property.name; });
        list.push_back(std::move(property));
    }
    return list;
}

Result<bool> is_unified() {
    return TRY(kernel::cgroup_layout())->mode() == kernel::CgroupMode::v2;
}

Result<std::string> start_unit(DbusConnection& connection, const std::string& unit,
                               const std::vector<UnitProperty>& properties) {
    DbusWriter body;
    body.put_string(unit);
    body.put_string("replace");
    put_properties(body, properties);
    body.end_array(body.begin_array(8));  // no auxiliary units
    auto reply = TRY(connection.call(manager_call("StartTransientUnit", "ssa(sv)a(sa(sv))", body)));
    return DbusReader(reply.body).string();
}

}  // namespace

std::string SystemdCgroupName::unit() const {
    if (name.ends_with(".slice")) return name;
    return prefix.empty() ? name + ".scope" : prefix + "-" + name + ".scope";
}

Result<std::string> expand_slice(std::string_view slice) {
    constexpr std::string_view kSuffix = ".slice";
    auto refuse = [&] {
        return fail(Errc::invalid, "invalid slice name " + quote(slice),
                    "a slice is named NAME.slice, its parts joined by single dashes");
    };
    if (!slice.ends_with(kSuffix) || slice.find('/') != std::string_view::npos) return refuse();
    const auto name = slice.substr(0, slice.size() - kSuffix.size());
    if (name == "-") return std::string("/");
    std::string path;
    std::string prefix;
    for (auto part : split(name, '-')) {
        if (part.empty()) return refuse();
        prefix += (prefix.empty() ? "" : "-") + std::string(part);
        path += "/" + prefix + std::string(kSuffix);
    }
    return path;
}

Result<SystemdCgroupName> parse_systemd_cgroup_name(std::string_view text, std::string_view id,
                                                    bool is_rootless) {
    SystemdCgroupName name;
    const std::string default_slice = is_rootless ? "user.slice" : "system.slice";
    if (text.empty()) {
        name = {.slice = default_slice, .prefix = "hull", .name = std::string(id)};
        return name;
    }
    auto parts = split(text, ':');
    if (parts.size() != 3)
        return fail(Errc::invalid,
                    fmt::format("{} is not of the form slice:prefix:name", quote(text)),
                    "with the systemd cgroup manager linux.cgroupsPath names a unit, as "
                    "\"machine.slice:hull:ID\"");
    name = {.slice = std::string(parts[0]),
            .prefix = std::string(parts[1]),
            .name = std::string(parts[2])};
    if (name.slice.empty()) name.slice = default_slice;
    if (name.name.empty())
        return fail(Errc::invalid, fmt::format("{} names no unit", quote(text)),
                    "give slice:prefix:name");
    TRY(expand_slice(name.slice));
    for (char c : name.unit())
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              std::string_view(":-_.\\@").find(c) != std::string_view::npos))
            return fail(Errc::invalid, fmt::format("{} is no unit name", quote(name.unit())),
                        "letters, digits and :-_.\\@ only");
    return name;
}

Result<ScopeKeeper> ScopeKeeper::create() {
    const pid_t parent = getpid();
    const pid_t pid = fork();
    if (pid < 0) return fail_errno(errno, "start a process for the scope");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(0);
        while (true)
            pause();
    }
    return ScopeKeeper(pid);
}

ScopeKeeper::~ScopeKeeper() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
}

Result<std::string> start_systemd_scope(const SystemdScopeRequest& request) {
    const std::string unit = request.name.unit();
    auto start = [&]() -> Result<std::string> {
        const auto properties = TRY(scope_properties(request, TRY(is_unified())));
        auto connection = TRY(connect_systemd(request.is_user_bus));
        TRY(subscribe(connection));
        auto job = start_unit(connection, unit, properties);
        if (!job && job.error().code == Errc::exists) {
            // Left over from a container that failed: forget it and try once more.
            auto reset = connection.call(manager_call("ResetFailedUnit", "s", one_string(unit)));
            if (reset) job = start_unit(connection, unit, properties);
        }
        if (!job) return fail(std::move(job).error());
        const std::string result = TRY(wait_for_job(connection, *job));
        if (result != "done") {
            (void)connection.call(manager_call("ResetFailedUnit", "s", one_string(unit)));
            return fail(Errc::io, fmt::format("its job ended as {}", quote(result)),
                        fmt::format("see: systemctl status {}", unit));
        }
        return unit_cgroup(connection, unit);
    };
    return with_context(start(), "start systemd unit " + unit);
}

Result<std::string> make_scope_subgroup(const std::string& scope, const std::string& name,
                                        const ScopeKeeper& keeper) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
        return fail(Errc::invalid,
                    "annotation run.oci.systemd.subgroup: " + quote(name) + " is no name",
                    "give one name without slashes");
    const auto* layout = TRY(kernel::cgroup_layout());
    std::vector<std::string> mount_points;
    if (layout->v2) mount_points.push_back(layout->v2->mount_point);
    if (const auto* systemd = layout->find_v1("name=systemd"))
        mount_points.push_back(systemd->mount_point);
    const std::string path = join_path(scope, name);
    for (const auto& mount_point : mount_points) {
        if (!path_exists(join_path(mount_point, scope))) continue;
        const std::string directory = join_path(mount_point, path);
        TRY(create_directories(directory));
        auto procs = TRY(open_path(join_path(directory, "cgroup.procs"), O_WRONLY));
        TRY(with_context(write_all(procs.get(), std::to_string(keeper.pid())),
                         "move a process into " + directory));
    }
    return path;
}

Result<void> enter_user_scope() {
    auto enter = []() -> Result<void> {
        const auto* layout = TRY(kernel::cgroup_layout());
        if (!layout->v2) return {};
        auto connection = TRY(connect_systemd(true));
        const std::string root =
            TRY(get_property(connection, kManagerPath, kManager, "ControlGroup"));
        if (layout->v2->own_path.starts_with(root + "/")) return {};
        const SystemdScopeRequest request{.name = {.slice = "user.slice",
                                                   .prefix = "hull-runtime",
                                                   .name = std::to_string(getpid())},
                                          .description = "hull-runtime",
                                          .pids = {getpid()},
                                          .is_user_bus = true};
        TRY(start_systemd_scope(request));
        return {};
    };
    return with_context(enter(), "move into the user's systemd");
}

Result<void> stop_systemd_scope(const std::string& unit, bool is_user_bus) {
    auto stop = [&]() -> Result<void> {
        auto connection = TRY(connect_systemd(is_user_bus));
        TRY(subscribe(connection));
        DbusWriter body;
        body.put_string(unit);
        body.put_string("replace");
        auto job = connection.call(manager_call("StopUnit", "ss", body));
        if (job) {
            TRY(wait_for_job(connection, DbusReader(job->body).string()));
        } else if (job.error().code != Errc::not_found) {
            return fail(std::move(job).error());
        }
        // A unit that has not failed is not known to ResetFailedUnit: no error.
        (void)connection.call(manager_call("ResetFailedUnit", "s", one_string(unit)));
        return {};
    };
    return with_context(stop(), "stop systemd unit " + unit);
}

Result<void> update_systemd_scope(const std::string& unit, const kernel::CgroupResources& resources,
                                  bool is_user_bus) {
    auto update = [&]() -> Result<void> {
        const auto properties = TRY(resource_properties(resources, TRY(is_unified())));
        if (properties.empty()) return {};
        auto connection = TRY(connect_systemd(is_user_bus));
        DbusWriter body;
        body.put_string(unit);
        body.put_bool(true);  // until the unit stops
        put_properties(body, properties);
        TRY(connection.call(manager_call("SetUnitProperties", "sba(sv)", body)));
        return {};
    };
    return with_context(update(), "update systemd unit " + unit);
}

bool has_systemd(bool is_user_bus) {
    if (!is_user_bus && !path_exists("/run/systemd/system")) return false;
    return connect_systemd(is_user_bus).has_value();
}

}  // namespace hull::runtime
