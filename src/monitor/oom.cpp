#include "monitor/oom.hpp"

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::monitor {

std::string memory_events_path(std::string_view proc_cgroup, std::string_view mount) {
    std::string v2;
    for (auto line : split_lines(proc_cgroup)) {
        // "4:memory:/path", "0::/path": the path itself may hold colons.
        size_t first = line.find(':');
        size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
        if (second == std::string_view::npos) continue;
        auto controllers = line.substr(first + 1, second - first - 1);
        std::string path(line.substr(second + 1));
        for (auto controller : split(controllers, ','))
            if (controller == "memory")
                return join_path(join_path(join_path(mount, "memory"), path), "memory.oom_control");
        if (controllers.empty()) v2 = path;
    }
    if (v2.empty()) return {};
    return join_path(join_path(mount, v2), "memory.events");
}

std::string find_memory_events(pid_t pid) {
    auto text = read_file("/proc/" + std::to_string(pid) + "/cgroup");
    if (!text) return {};
    std::string path = memory_events_path(*text, "/sys/fs/cgroup");
    return path_exists(path) ? path : std::string();
}

uint64_t parse_oom_kills(std::string_view text) {
    for (auto line : split_lines(text)) {
        auto words = split(line, ' ');
        if (words.size() == 2 && words[0] == "oom_kill")
            return parse_number<uint64_t>(words[1]).value_or(0);
    }
    return 0;
}

uint64_t count_oom_kills(const std::string& path) {
    auto text = read_file(path);
    return text ? parse_oom_kills(*text) : 0;
}

}  // namespace hull::monitor
