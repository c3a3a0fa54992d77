// A line of a container's log; what is read must be written the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "monitor/log_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view input(reinterpret_cast<const char*>(data), size);
    auto record = hull::monitor::parse_log_record(input);
    if (!record) return 0;
    record->time = "t";
    std::string line;
    hull::monitor::format_log_record(line, *record);
    line.pop_back();
    auto again = hull::monitor::parse_log_record(line);
    if (!again || again->text != record->text) std::abort();
    return 0;
}
