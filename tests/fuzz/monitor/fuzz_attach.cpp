// The attach socket's byte stream, whole and in pieces.
#include <cstddef>
#include <cstdint>

#include "monitor/attach.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view input(reinterpret_cast<const char*>(data), size);
    size_t step = input.empty() ? 1 : static_cast<uint8_t>(input[0]) % 16 + 1;
    hull::monitor::FrameReader reader;
    for (size_t i = 0; i < input.size(); i += step) {
        reader.append(input.substr(i, step));
        while (true) {
            auto frame = reader.next();
            if (!frame) return 0;
            if (!*frame) break;
            (void)hull::monitor::parse_size((*frame)->payload);
        }
    }
    return 0;
}
