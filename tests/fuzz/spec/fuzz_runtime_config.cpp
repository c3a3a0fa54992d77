// config.json of a stranger: read, check, write; what was written reads back as the same value.

#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"

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
    auto again =
        hull::spec::parse_runtime_config(hull::spec::format_runtime_config(config), "again");
    if (!again) std::abort();
    return 0;
}
