#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "layer/stream.hpp"

namespace hull::layer {

enum class Compression { none, gzip, zstd };

std::string_view compression_name(Compression compression);
/// "none", "gzip", "zstd".
Result<Compression> parse_compression(std::string_view name);

/// By the first bytes (at least 4): gzip 1f 8b, zstd 28 b5 2f fd or a skippable frame. What a media
/// type claims is not asked: old images lie.
Compression detect_compression(std::string_view first_bytes);

/// Decompresses `source`, whatever it is compressed with. gzip files of several members (eStargz)
/// and zstd files of several frames are read to their end; zero padding after a gzip member is
/// passed over.
/// @errors corrupt: truncated, a wrong checksum, trailing garbage; unsupported: bzip2 or xz, or a
/// zstd window over 128 MiB.
std::unique_ptr<ByteSource> create_decompressor(std::unique_ptr<ByteSource> source);

/// Compresses into `sink`; the same bytes give the same result, with no time stamp inside.
class Compressor : public ByteSink {
  public:
    /// Writes what is left and the trailer; `sink` stays the caller's. Call once.
    virtual Result<void> finish() = 0;
};
std::unique_ptr<Compressor> create_compressor(Compression compression, ByteSink& sink);

}  // namespace hull::layer
