// info and version.

#include <sys/utsname.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/json_io.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "cli/output.hpp"
#include "cli/verbs.hpp"
#include "engine/engine.hpp"
#include "engine/ranges.hpp"
#include "kernel/landlock.hpp"
#include "spec/platform.hpp"
#include "spec/runtime.hpp"

namespace hull::cli {

using engine::Engine;

namespace {

std::string cgroup_mode() {
    if (path_exists("/sys/fs/cgroup/cgroup.controllers")) return "v2";
    if (path_exists("/sys/fs/cgroup/unified/cgroup.controllers")) return "hybrid";
    return path_exists("/sys/fs/cgroup") ? "v1" : "none";
}

uint64_t total_memory() {
    auto pages = ::sysconf(_SC_PHYS_PAGES);
    auto size = ::sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(size) : 0;
}

/// What an ordinary user's containers lack of SECURITY.md, and what would mend it.
Json rootless_losses(const engine::Settings& settings) {
    Json out = Json::array();
    if (!settings.is_rootless) return out;
    out.push_back("containers share your range of ids (root's have one each): run hull as root");
    out.push_back("no limits on memory, CPU and processes: delegate a cgroup with systemd");
    out.push_back(
        "bind mounts are not idmapped: files of other container users belong to your "
        "subordinate ids");
    return out;
}

Result<Json> info_json(Engine& engine) {
    const auto& settings = engine.settings();
    int running = 0;
    int all = 0;
    for (const auto& view : TRY(engine.list())) {
        all++;
        running += view.state == "running" ? 1 : 0;
    }
    utsname system{};
    ::uname(&system);
    auto images = TRY(store::list_images(*TRY(engine.store())));
    Json out = {{"ServerVersion", HULL_VERSION},
                {"Root", settings.root},
                {"RunRoot", settings.run_root},
                {"Rootless", settings.is_rootless},
                {"Containers", all},
                {"ContainersRunning", running},
                {"ContainersStopped", all - running},
                {"Images", images.size()},
                {"Driver", "overlay"},
                {"LoggingDriver", "json-file"},
                {"CgroupMode", cgroup_mode()},
                {"KernelVersion", system.release},
                {"Architecture", system.machine},
                {"NCPU", ::sysconf(_SC_NPROCESSORS_ONLN)},
                {"MemTotal", total_memory()},
                {"LandlockABI", kernel::landlock_abi()},
                {"AppArmor", path_exists("/sys/kernel/security/apparmor")},
                {"SELinux", path_exists("/sys/fs/selinux/enforce")},
                {"Losses", rootless_losses(settings)}};
    if (!settings.is_rootless) {
        auto range = engine::prepare_hull_range();
        if (range)
            out["IdRange"] = {{"First", range->bind_mounts.first},
                              {"Count", range->bind_mounts.count + range->containers.count}};
    }
    return out;
}

std::string as_lines(const Json& json) {
    std::string out;
    for (const auto& [name, value] : json.items()) {
        if (value.is_array()) {
            for (const auto& line : value)
                out += name + ": " + line.get<std::string>() + "\n";
        } else {
            out += name + ": " + (value.is_string() ? value.get<std::string>() : dump_json(value)) +
                   "\n";
        }
    }
    return out;
}

int print_document(const Result<Json>& document, const std::string& format) {
    if (!document) {
        print_error(document.error());
        return 1;
    }
    if (format.empty()) {
        print(as_lines(*document));
        return 0;
    }
    auto text = format_json_template(dump_json(*document), format);
    if (!text) {
        print_error(text.error());
        return 1;
    }
    print(*text + "\n");
    return 0;
}

}  // namespace

int cmd_info(const GlobalWords& global, const FormatWords& words) {
    auto work = [&]() -> Result<Json> {
        auto engine = TRY(Engine::open(global.settings));
        return info_json(engine);
    };
    return print_document(work(), words.format);
}

int cmd_version(const FormatWords& words) {
    const auto platform = spec::host_platform();
    Json out = {{"Version", HULL_VERSION},
                {"OciVersion", spec::kRuntimeSpecVersion},
                {"Os", platform.os},
                {"Arch", platform.architecture}};
    if (words.format.empty()) return print_document(out, "");
    // Scripts ask docker for either. There is no server: the engine is in this program.
    Json sides = out;
    sides["Client"] = out;
    sides["Server"] = out;
    return print_document(sides, words.format);
}

}  // namespace hull::cli
