#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "layer/stream.hpp"
#include "layer/zstd_window.hpp"

namespace hull::layer {

enum class Compression { none, gzip, zstd };

std::string_view compression_name(Compression compression);
/// "none", "gzip", "zstd".
Result<Compression> parse_compression(std::string_view name);

/// By the first bytes (at least 4): gzip 1f 8b, zstd 28 b5 2f fd or a skippable frame. What a media
/// type claims is not asked: old images lie.
Compression detect_compression(std::string_view first_bytes);

/// A stream of decompressed bytes.
class Decompressor : public ByteSource {
  public:
    /// Fills `target` as far as the source goes. 0: the end.
    virtual Result<size_t> read_into(std::span<char> target) = 0;
    Result<std::string_view> read() final;

  private:
    std::string buffer_;
};

/// Decompresses `source`, whatever it is compressed with. gzip files of several members (eStargz)
/// and zstd files of several frames are read to their end; zero padding after a gzip member is
/// passed over. `source` stays the caller's.
/// @param windows  where zstd's windows lie; without: in memory, without a limit for all together.
/// @errors corrupt: truncated, a wrong checksum, trailing garbage; unsupported: bzip2 or xz, or a
/// zstd window over 128 MiB; io: of the source.
Result<std::unique_ptr<Decompressor>> create_decompressor(ByteSource& source,
                                                          const WindowPlace& windows = {});

/// Compresses into `sink`; the same bytes give the same result, with no time stamp inside.
class Compressor : public ByteSink {
  public:
    /// Writes what is left and the trailer; `sink` stays the caller's. Call once.
    virtual Result<void> finish() = 0;
};
std::unique_ptr<Compressor> create_compressor(Compression compression, ByteSink& sink);

}  // namespace hull::layer
