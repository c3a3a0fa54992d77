#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "runtime/dbus.hpp"
#include "runtime/systemd_properties.hpp"
#include "runtime/systemd_scope.hpp"

// Bytes from a bus, and the texts of annotations and cgroup paths.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace hull::runtime;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (auto message = decode_dbus_message(text)) {
        auto again = decode_dbus_message(encode_dbus_message(*message));
        if (!again || again->body != message->body) std::abort();
    }
    (void)parse_property_annotation("Property", text);
    (void)parse_property_annotation("TimeoutSec", text);
    (void)parse_systemd_cgroup_name(text, "id", false);
    (void)parse_cpu_list(text);
    return 0;
}
