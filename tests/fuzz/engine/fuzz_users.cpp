// passwd and group files of an image, and the user that is looked up in them.
#include <cstddef>
#include <cstdint>

#include "engine/users.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string input(reinterpret_cast<const char*>(data), size);
    size_t end = input.find('\n');
    std::string user = input.substr(0, end);
    std::string files = end == std::string::npos ? "" : input.substr(end + 1);
    (void)hull::engine::resolve_user(
        user, {"audio"},
        [&](std::string_view) -> hull::Result<std::optional<std::string>> { return files; });
    return 0;
}
