#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

#include "layer/compress.hpp"

namespace hull::layer {

/// Gives its text in pieces, whose size the input chooses.
class PieceSource final : public ByteSource {
  public:
    PieceSource(std::string_view text, size_t step) : text_(text), step_(step) {}
    Result<std::string_view> read() override {
        buffer_ = text_.substr(0, step_);
        text_.remove_prefix(buffer_.size());
        return std::string_view{buffer_};
    }

  private:
    std::string_view text_;
    size_t step_;
    std::string buffer_;
};

inline Result<std::string> decompress(std::string_view text, size_t step) {
    PieceSource source{text, step};
    auto stream = TRY(create_decompressor(source));
    std::string out;
    for (;;) {
        std::string_view bytes = TRY(stream->read());
        if (bytes.empty() || out.size() > (8U << 20U)) return out;
        out.append(bytes);
    }
}

/// Aborts if the sizes in which bytes arrive change what comes out.
inline void decompress_whole_and_in_pieces(std::string_view text) {
    auto whole = decompress(text, 1U << 20U);
    auto pieces = decompress(text, 1 + text.size() % 7);
    if (whole.has_value() != pieces.has_value()) std::abort();
    if (whole && *whole != *pieces) std::abort();
}

}  // namespace hull::layer
