// A configuration that the checks let pass is planned or refused, never a crash, and every plan
// prints.

#include <cstdint>
#include <string_view>

#include "jail/plan_json.hpp"
#include "runtime/plan_from_spec.hpp"
#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    auto config = hull::spec::parse_runtime_config(text, "config.json");
    if (!config || !hull::spec::check_runtime_config(*config).empty()) return 0;
    auto plan = hull::runtime::plan_from_spec(*config, {.id = "fuzz", .bundle = "/bundle"});
    if (plan) (void)hull::jail::format_plan(*plan, 2);
    return 0;
}
