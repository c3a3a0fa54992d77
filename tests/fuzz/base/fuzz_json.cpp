// JSON documents of strangers: refused or read, never a crash, and what is printed reads the same.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/json_io.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto value = hull::parse_json({reinterpret_cast<const char*>(data), size}, "fuzz");
    if (!value) return 0;
    hull::JsonReader reader(*value, "fuzz");
    (void)reader.as_int64();
    (void)reader.as_uint32();
    (void)reader.as_strings();
    if (auto members = reader.members())
        for (const auto& [name, member] : *members) {
            (void)member.as_int32();
            (void)member.as_string();
            (void)member.as_double();
        }
    if (!hull::parse_json(hull::dump_json(*value), "again")) std::abort();
    return 0;
}
