#include <cstddef>
#include <cstdint>

#include "monitor/settings.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view input(reinterpret_cast<const char*>(data), size);
    if (auto settings = hull::monitor::parse_settings(input, "input"))
        (void)hull::monitor::format_settings(*settings);
    (void)hull::monitor::last_runtime_error(input, "");
    return 0;
}
