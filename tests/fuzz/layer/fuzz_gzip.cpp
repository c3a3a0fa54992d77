#include <cstddef>
#include <cstdint>

#include "decompress_in_pieces.hpp"

// gzip framing.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    hull::layer::decompress_whole_and_in_pieces({reinterpret_cast<const char*>(data), size});
    return 0;
}
