#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/base64.hpp"
#include "registry/credentials.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text{reinterpret_cast<const char*>(data), size};
    (void)hull::registry::parse_auth_file(text, "fuzz");
    if (hull::decode_base64(hull::encode_base64(text)) != text) __builtin_trap();
    return 0;
}
