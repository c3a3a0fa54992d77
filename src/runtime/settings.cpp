#include "runtime/settings.hpp"

#include <unistd.h>

#include <cstdlib>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/namespaces.hpp"

namespace hull::runtime {

namespace {

/// Rootless engines call us as root of their user namespace: /run is not theirs, and
/// XDG_RUNTIME_DIR is. Root of a container, where USER is root, has a /run of its own. As runc
/// decides it.
bool has_own_run() {
    if (::geteuid() != 0) return false;
    if (!is_ordinary_user()) return true;
    const char* user = ::getenv("USER");
    return user != nullptr && std::string_view{user} == "root";
}

}  // namespace

std::string default_root() {
    const char* runtime_directory = ::getenv("XDG_RUNTIME_DIR");
    if (has_own_run()) return "/run/hull-runtime";
    if (runtime_directory != nullptr && runtime_directory[0] == '/')
        return join_path(runtime_directory, "hull-runtime");
    if (::geteuid() == 0) return "/run/hull-runtime";
    return "/tmp/hull-runtime-" + std::to_string(::geteuid());
}

bool Settings::is_rootless() const {
    if (rootless) return *rootless;
    static const bool found_out = is_ordinary_user();
    return found_out;
}

bool is_ordinary_user() {
    if (::geteuid() != 0) return true;
    if (kernel::is_in_first_user_namespace()) return false;
    auto map = read_file("/proc/self/uid_map", 4096);
    if (!map) return false;
    auto lines = split_lines(*map);
    if (lines.size() != 1) return true;
    // "         0          0 4294967295": user_namespaces(7).
    std::vector<std::string_view> words;
    for (auto word : split(lines[0], ' '))
        if (!word.empty()) words.push_back(word);
    return words.size() != 3 || words[0] != "0" || words[1] != "0" || words[2] != "4294967295";
}

}  // namespace hull::runtime
