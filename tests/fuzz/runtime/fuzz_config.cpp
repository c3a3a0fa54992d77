// config.json from text to plan: what the checks let pass is planned or refused, never a crash, and
// what is written back reads as the same configuration.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "jail/plan_json.hpp"
#include "runtime/plan_from_spec.hpp"
#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    std::vector<hull::Error> errors;
    auto partial = hull::spec::parse_runtime_config(text, "config.json", errors);
    (void)hull::spec::check_runtime_config(partial);
    auto config = hull::spec::parse_runtime_config(text, "config.json");
    if (config.has_value() != errors.empty()) std::abort();
    if (!config) return 0;

    std::string written = hull::spec::format_runtime_config(*config);
    auto again = hull::spec::parse_runtime_config(written, "written");
    if (!again || hull::spec::format_runtime_config(*again) != written) std::abort();

    if (!hull::spec::check_runtime_config(*config).empty()) return 0;
    auto plan = hull::runtime::plan_from_spec(*config, {.id = "fuzz", .bundle = "/bundle"});
    if (plan) (void)hull::jail::format_plan(*plan, 2);
    return 0;
}
