// config.json of a stranger: read, check, write; what was written reads back as the same value.

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"
#include "spec/seccomp_text.hpp"

namespace {

/// What is read without linux.seccomp is what is read with it, but for that.
void check_without_seccomp(std::string_view text, hull::spec::RuntimeConfig whole) {
    const auto section = hull::spec::find_seccomp_text(text);
    if (!section) return;
    const auto rest = hull::spec::parse_runtime_config_without(text, "config.json", *section);
    if (!rest) return;
    if (!whole.linux_.seccomp) std::abort();
    whole.linux_.seccomp.reset();
    if (format_runtime_config(whole) != format_runtime_config(*rest)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    std::vector<hull::Error> errors;
    auto config = hull::spec::parse_runtime_config(text, "config.json", errors);
    for (const auto& violation : hull::spec::check_runtime_config(config))
        if (violation.to_string().find('\n') != std::string::npos) std::abort();  // always one line
    (void)hull::spec::parse_process(text, "process.json");
    if (auto resources = hull::spec::parse_resources(text, "resources.json"))
        (void)hull::spec::check_resources(*resources);
    if (!errors.empty()) return 0;
    check_without_seccomp(text, config);
    auto again =
        hull::spec::parse_runtime_config(hull::spec::format_runtime_config(config), "again");
    if (!again) std::abort();
    return 0;
}
