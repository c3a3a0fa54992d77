// Errors as they come over a socket from another process: any bytes, and back to the same text.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    auto error = hull::decode_error({reinterpret_cast<const char*>(data), size});
    if (!error) return 0;
    if (error->to_string().find('\n') != std::string::npos) std::abort();  // always one line
    auto again = hull::decode_error(hull::encode_error(*error));
    if (!again || again->code != error->code || again->message != error->message) std::abort();
    return 0;
}
