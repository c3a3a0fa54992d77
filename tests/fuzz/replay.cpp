// Every fuzz target with every file of its corpus, without libFuzzer: what was found once and
// mended stays mended, on every build. A failure names the file.

#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/text.hpp"

#define FUZZ_TARGET(name) extern "C" int fuzz_##name(const uint8_t* data, size_t size);
#include "fuzz_targets.inc"
#undef FUZZ_TARGET

namespace {

struct Target {
    std::string_view name;
    int (*run)(const uint8_t* data, size_t size);
};

constexpr Target kTargets[] = {
#define FUZZ_TARGET(name) {#name, fuzz_##name},
#include "fuzz_targets.inc"
#undef FUZZ_TARGET
};

std::array<char, 512> current{};  ///< "input FILE\n", for a handler that may call hardly anything

void tell_input(int signal) {
    (void)!::write(2, current.data(), std::string_view{current.data()}.size());
    ::signal(signal, SIG_DFL);
    ::raise(signal);
}

/// @return  how many inputs there were; -1: none, or unreadable
int replay(const Target& target) {
    const std::string directory = hull::join_path(HULL_FUZZ_CORPUS, target.name);
    auto names = hull::list_directory(directory);
    if (!names) return -1;
    std::sort(names->begin(), names->end());
    for (const auto& name : *names) {
        auto text = hull::read_file(hull::join_path(directory, name));
        if (!text) return -1;
        std::snprintf(current.data(), current.size(), "input %s/%s\n", directory.c_str(),
                      name.c_str());
        // Of exactly its size, so that AddressSanitizer sees a read beyond it.
        const std::vector<uint8_t> input(text->begin(), text->end());
        (void)target.run(input.data(), input.size());
    }
    return names->empty() ? -1 : static_cast<int>(names->size());
}

}  // namespace

int main() {
    for (int signal : {SIGABRT, SIGSEGV, SIGILL, SIGTRAP})
        ::signal(signal, tell_input);
    bool is_good = true;
    for (const auto& target : kTargets) {
        const int count = replay(target);
        std::printf("%.*s: %d inputs\n", static_cast<int>(target.name.size()), target.name.data(),
                    count);
        is_good = is_good && count > 0;
    }
    return is_good ? 0 : 1;
}
