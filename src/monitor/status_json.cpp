#include <algorithm>
#include <array>

#include "base/json_io.hpp"
#include "base/text.hpp"
#include "monitor/status.hpp"

namespace hull::monitor {
namespace {

constexpr std::array<std::string_view, 5> kPhases = {"starting", "created", "running", "exited",
                                                     "failed"};

/// encode_error() separates fields by NUL, which no JSON string of hull's may hold.
std::string exchange_separators(std::string text, char from, char to) {
    std::ranges::replace(text, from, to);
    return text;
}
constexpr char kSeparator = '\x1f';

}  // namespace

std::string_view phase_name(Phase phase) {
    return kPhases.at(static_cast<size_t>(phase));
}

Result<void> save_status(const std::string& directory, const Status& status) {
    Json out = {{"phase", phase_name(status.phase)},
                {"boot_id", status.boot_id},
                {"monitor_pid", status.monitor_pid},
                {"pid", status.pid},
                {"pid_start", status.pid_start},
                {"started_at", status.started_at},
                {"finished_at", status.finished_at},
                {"exit_code", status.exit_code},
                {"oom_killed", status.oom_killed},
                {"error", exchange_separators(status.error, '\0', kSeparator)}};
    return save_json(join_path(directory, kStatusFile), out, {.mode = 0600});
}

Result<Status> load_status(const std::string& directory) {
    std::string path = join_path(directory, kStatusFile);
    Json json = TRY(load_json(path));
    JsonReader reader(json, path);
    Status out;
    std::string phase;
    TRY(reader.read("phase", phase));
    bool known = false;
    for (size_t i = 0; i < kPhases.size(); i++) {
        if (kPhases.at(i) != phase) continue;
        out.phase = static_cast<Phase>(i);
        known = true;
    }
    if (!known) return fail(Errc::corrupt, path + ": unknown phase " + quote(phase));
    TRY(reader.read("boot_id", out.boot_id));
    TRY(reader.read("monitor_pid", out.monitor_pid));
    TRY(reader.read("pid", out.pid));
    TRY(reader.read("pid_start", out.pid_start));
    TRY(reader.read("started_at", out.started_at));
    TRY(reader.read("finished_at", out.finished_at));
    TRY(reader.read("exit_code", out.exit_code));
    TRY(reader.read("oom_killed", out.oom_killed));
    TRY(reader.read("error", out.error));
    out.error = exchange_separators(std::move(out.error), kSeparator, '\0');
    return out;
}

uint64_t process_start_time(pid_t pid) {
    if (pid <= 0) return 0;
    auto text = read_file("/proc/" + std::to_string(pid) + "/stat");
    if (!text) return 0;
    // The command's name may hold blanks and brackets: fields are counted from its last bracket.
    size_t close = text->rfind(')');
    if (close == std::string::npos) return 0;
    auto fields = split(std::string_view(*text).substr(close + 2), ' ');
    constexpr size_t kStartTime = 22 - 3;
    if (fields.size() <= kStartTime) return 0;
    return parse_number<uint64_t>(fields[kStartTime]).value_or(0);
}

const std::string& boot_id() {
    static const std::string id = [] {
        auto text = read_file("/proc/sys/kernel/random/boot_id");
        return text ? std::string(trim(*text)) : std::string();
    }();
    return id;
}

}  // namespace hull::monitor
