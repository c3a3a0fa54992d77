#include "layer/compress.hpp"

// For an allocator of our own: exported, and unchanged since 0.8.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <isa-l/igzip_lib.h>

#include "base/text.hpp"

namespace hull::layer {
namespace {

constexpr size_t kBuffer = 256U << 10U;
/// 128 MiB, zstd's own default limit.
constexpr int kMaxWindowLog = 27;

tl::unexpected<Error> corrupt(std::string message) {
    return fail(Errc::corrupt, std::move(message),
                "the archive was damaged or cut short on its way");
}

/// A source with a few bytes put back before it.
class Input {
  public:
    explicit Input(ByteSource& source) : source_(&source) {}

    /// What is at hand; reads more when there is nothing. Empty: the end.
    Result<std::string_view> peek() {
        if (!here_.empty()) return here_;
        if (at_end_) return std::string_view{};
        here_ = TRY(source_->read());
        at_end_ = here_.empty();
        return here_;
    }
    void consume(size_t count) { here_.remove_prefix(count); }
    /// Bytes that were consumed but are to be read again.
    void put_back(std::string bytes) {
        if (bytes.empty()) return;
        bytes.append(here_);
        current_ = std::move(bytes);
        here_ = current_;
    }
    /// At least `count` bytes in one piece, or what there is.
    Result<std::string_view> peek_at_least(size_t count) {
        std::string gathered;
        while (gathered.size() < count) {
            std::string_view more = TRY(peek());
            if (more.empty()) break;
            if (gathered.empty() && more.size() >= count) return more;
            gathered.append(more);
            consume(more.size());
        }
        put_back(std::move(gathered));
        return here_;
    }

  private:
    ByteSource* source_;
    std::string_view here_;
    std::string current_;  ///< owns here_ when that is not the source's
    bool at_end_ = false;
};

class PlainReader final : public Decompressor {
  public:
    explicit PlainReader(std::unique_ptr<Input> input) : input_(std::move(input)) {}
    Result<size_t> read_into(std::span<char> target) override {
        size_t filled = 0;
        while (filled < target.size()) {
            std::string_view bytes = TRY(input_->peek());
            if (bytes.empty()) break;
            size_t count = std::min(bytes.size(), target.size() - filled);
            std::memcpy(target.data() + filled, bytes.data(), count);
            input_->consume(count);
            filled += count;
        }
        return filled;
    }

  private:
    std::unique_ptr<Input> input_;
};

class GzipReader final : public Decompressor {
  public:
    explicit GzipReader(std::unique_ptr<Input> input)
        : input_(std::move(input)), state_(std::make_unique<inflate_state>()) {
        begin_member();
    }

    Result<size_t> read_into(std::span<char> target) override {
        size_t filled = 0;
        while (filled < target.size()) {
            if (state_->block_state == ISAL_BLOCK_FINISH && !TRY(next_member())) break;
            filled += TRY(inflate(target.subspan(filled)));
        }
        return filled;
    }

  private:
    void begin_member() {
        isal_inflate_init(state_.get());
        state_->crc_flag = ISAL_GZIP;
        header_ = {};
        isal_gzip_header_init(&header_);
        in_header_ = true;
    }

    /// igzip stops after one member; a gzip file may have many (RFC 1952, 2.2).
    Result<bool> next_member() {
        take_back_unused();
        for (;;) {
            std::string_view bytes = TRY(input_->peek());
            if (bytes.empty()) return false;
            size_t zeros = std::min(bytes.find_first_not_of('\0'), bytes.size());
            input_->consume(zeros);
            if (zeros < bytes.size()) break;
        }
        std::string_view magic = TRY(input_->peek_at_least(2));
        if (!magic.starts_with("\x1f\x8b")) return corrupt("gzip: bytes follow after its end");
        begin_member();
        return true;
    }

    /// igzip reads ahead by up to eight bytes; those belong to the next member.
    void take_back_unused() {
        std::string unused;
        auto length = static_cast<unsigned>(std::max(state_->read_in_length, 0));
        uint64_t bits = state_->read_in >> (length % 8);
        for (unsigned i = 0; i < length / 8; ++i, bits >>= 8U)
            unused.push_back(static_cast<char>(bits & 0xffU));
        state_->read_in_length = 0;
        state_->read_in = 0;
        input_->put_back(std::move(unused));
    }

    Result<size_t> inflate(std::span<char> target) {
        std::string_view bytes = TRY(input_->peek());
        constexpr size_t kMost = 1U << 30U;
        size_t offered = std::min(bytes.size(), kMost);
        state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
        state_->avail_in = static_cast<uint32_t>(offered);
        state_->next_out = reinterpret_cast<uint8_t*>(target.data());
        state_->avail_out = static_cast<uint32_t>(std::min(target.size(), kMost));
        uint32_t room = state_->avail_out;
        int result = in_header_ ? read_header() : isal_inflate(state_.get());
        if (result < 0) return corrupt("gzip: " + std::string{reason(result)});
        input_->consume(offered - state_->avail_in);
        size_t made = room - state_->avail_out;
        if (bytes.empty() && made == 0 && state_->block_state != ISAL_BLOCK_FINISH)
            return corrupt("gzip: unexpected end");
        return made;
    }

    /// isal_inflate() would do this as well, but forgets the header's flags between two calls: a
    /// header with a name that comes in two pieces is then right or damaged by chance.
    int read_header() {
        int result = isal_read_gzip_header(state_.get(), &header_);
        if (result != ISAL_DECOMP_OK) return result;
        in_header_ = false;
        state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
        return isal_inflate(state_.get());
    }

    static std::string_view reason(int result) {
        switch (result) {
            case ISAL_INVALID_WRAPPER:
                return "its header is damaged";
            case ISAL_UNSUPPORTED_METHOD:
                return "an unknown compression method";
            case ISAL_INCORRECT_CHECKSUM:
                return "its checksum is wrong";
            default:
                return "its data is damaged";
        }
    }

    std::unique_ptr<Input> input_;
    std::unique_ptr<inflate_state> state_;
    isal_gzip_header header_{};
    bool in_header_ = true;
};

class ZstdReader final : public Decompressor {
  public:
    ZstdReader(std::unique_ptr<Input> input, const WindowPlace& place)
        : input_(std::move(input)),
          share_(place.budget),
          memory_(place.folder),
          stream_(nullptr, ZSTD_freeDCtx) {}

    Result<size_t> read_into(std::span<char> target) override {
        ZSTD_outBuffer out{target.data(), target.size(), 0};
        while (out.pos < out.size) {
            if (!in_frame_) TRY(begin_frame());
            std::string_view bytes = TRY(input_->peek());
            ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
            size_t before = out.pos;
            size_t left = ZSTD_decompressStream(stream_.get(), &out, &in);
            if (ZSTD_isError(left) != 0) return refuse(left);
            input_->consume(in.pos);
            if (in.pos > 0 || out.pos > before) in_frame_ = left != 0;
            if (bytes.empty() && out.pos == before) {
                if (in_frame_) return corrupt("zstd: unexpected end");
                break;
            }
        }
        memory_.advance(out.pos);
        return out.pos;
    }

  private:
    /// Gets the memory that the next frame needs: libzstd keeps its buffers from frame to frame,
    /// and makes larger ones as it meets a larger window.
    Result<void> begin_frame() {
        uint64_t window = zstd_window_size(TRY(input_->peek_at_least(kZstdFrameHeader)));
        if (stream_ && window <= share_.held()) return {};
        stream_.reset();
        share_.take(std::min(window, uint64_t{1} << kMaxWindowLog));
        stream_.reset(ZSTD_createDCtx_advanced({&allocate, &release, &memory_}));
        if (!stream_) return fail(Errc::internal, "zstd: out of memory");
        ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kMaxWindowLog);
        return {};
    }

    static void* allocate(void* memory, size_t size) {
        return static_cast<WindowMemory*>(memory)->allocate(size);
    }
    static void release(void* memory, void* address) {
        static_cast<WindowMemory*>(memory)->release(address);
    }

    static tl::unexpected<Error> refuse(size_t code) {
        if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
            return fail(Errc::unsupported, "zstd: needs a window of more than 128 MiB",
                        "compress the layer again without --ultra or --long");
        return corrupt("zstd: " + std::string{ZSTD_getErrorName(code)});
    }

    std::unique_ptr<Input> input_;
    WindowBudget::Share share_;
    WindowMemory memory_;
    std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> stream_;
    bool in_frame_ = false;
};

class PlainWriter final : public Compressor {
  public:
    explicit PlainWriter(ByteSink& sink) : sink_(&sink) {}
    Result<void> write(std::string_view bytes) override { return sink_->write(bytes); }
    Result<void> finish() override { return {}; }

  private:
    ByteSink* sink_;
};

class GzipWriter final : public Compressor {
  public:
    explicit GzipWriter(ByteSink& sink)
        : sink_(&sink), level_buffer_(ISAL_DEF_LVL3_DEFAULT), out_(kBuffer) {
        isal_deflate_init(&stream_);
        stream_.level = 3;
        stream_.level_buf = level_buffer_.data();
        stream_.level_buf_size = static_cast<uint32_t>(level_buffer_.size());
        stream_.gzip_flag = IGZIP_GZIP;  // a header without name and time
    }
    Result<void> write(std::string_view bytes) override {
        stream_.end_of_stream = 0;
        return run(bytes);
    }
    Result<void> finish() override {
        stream_.end_of_stream = 1;
        return run({});
    }

  private:
    Result<void> run(std::string_view bytes) {
        stream_.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(bytes.data()));
        stream_.avail_in = static_cast<uint32_t>(bytes.size());
        do {
            stream_.next_out = out_.data();
            stream_.avail_out = static_cast<uint32_t>(out_.size());
            if (isal_deflate(&stream_) != COMP_OK)
                return fail(Errc::internal, "gzip: cannot compress");
            size_t made = out_.size() - stream_.avail_out;
            TRY(sink_->write({reinterpret_cast<const char*>(out_.data()), made}));
        } while (stream_.avail_out == 0 || stream_.avail_in > 0);
        return {};
    }

    ByteSink* sink_;
    isal_zstream stream_{};
    std::vector<uint8_t> level_buffer_;
    std::vector<uint8_t> out_;
};

class ZstdWriter final : public Compressor {
  public:
    explicit ZstdWriter(ByteSink& sink)
        : sink_(&sink), stream_(ZSTD_createCCtx(), ZSTD_freeCCtx), out_(ZSTD_CStreamOutSize(), 0) {
        if (stream_) ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_compressionLevel, 3);
        if (stream_) ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_checksumFlag, 1);
    }
    Result<void> write(std::string_view bytes) override { return run(bytes, ZSTD_e_continue); }
    Result<void> finish() override { return run({}, ZSTD_e_end); }

  private:
    Result<void> run(std::string_view bytes, ZSTD_EndDirective directive) {
        if (!stream_) return fail(Errc::internal, "zstd: out of memory");
        ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
        size_t left = 0;
        do {
            ZSTD_outBuffer out{out_.data(), out_.size(), 0};
            left = ZSTD_compressStream2(stream_.get(), &out, &in, directive);
            if (ZSTD_isError(left) != 0)
                return fail(Errc::internal, "zstd: " + std::string{ZSTD_getErrorName(left)});
            TRY(sink_->write({out_.data(), out.pos}));
        } while (in.pos < in.size || (directive == ZSTD_e_end && left != 0));
        return {};
    }

    ByteSink* sink_;
    std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> stream_;
    std::string out_;
};

}  // namespace

std::string_view compression_name(Compression compression) {
    switch (compression) {
        case Compression::none:
            return "none";
        case Compression::gzip:
            return "gzip";
        case Compression::zstd:
            return "zstd";
    }
    return "none";
}

Result<Compression> parse_compression(std::string_view name) {
    for (Compression known : {Compression::none, Compression::gzip, Compression::zstd})
        if (name == compression_name(known)) return known;
    return fail(Errc::invalid, "compression " + quote(name) + " is unknown",
                "choose none, gzip or zstd");
}

Compression detect_compression(std::string_view first) {
    if (first.starts_with("\x1f\x8b")) return Compression::gzip;
    if (first.starts_with("\x28\xb5\x2f\xfd")) return Compression::zstd;
    // Skippable frames (RFC 8878, 3.1.2) have the magic numbers 0x184D2A50 to 0x184D2A5F.
    if (first.size() >= 4 && first.substr(1, 3) == "\x2a\x4d\x18" &&
        (static_cast<unsigned char>(first[0]) & 0xf0U) == 0x50U)
        return Compression::zstd;
    return Compression::none;
}

Result<std::string_view> Decompressor::read() {
    if (buffer_.empty()) buffer_.resize(kBuffer);
    size_t filled = TRY(read_into(buffer_));
    return std::string_view{buffer_.data(), filled};
}

Result<std::unique_ptr<Decompressor>> create_decompressor(ByteSource& source,
                                                          const WindowPlace& windows) {
    auto input = std::make_unique<Input>(source);
    std::string_view first = TRY(input->peek_at_least(6));
    if (first.starts_with("BZh"))
        return fail(Errc::unsupported, "the archive is compressed with bzip2",
                    "decompress it first: bzip2 -d");
    if (first.starts_with(std::string_view{"\xfd\x37zXZ\0", 6}))
        return fail(Errc::unsupported, "the archive is compressed with xz",
                    "decompress it first: xz -d");
    switch (detect_compression(first)) {
        case Compression::gzip:
            return std::make_unique<GzipReader>(std::move(input));
        case Compression::zstd:
            return std::make_unique<ZstdReader>(std::move(input), windows);
        case Compression::none:
            break;
    }
    return std::make_unique<PlainReader>(std::move(input));
}

std::unique_ptr<Compressor> create_compressor(Compression compression, ByteSink& sink) {
    switch (compression) {
        case Compression::gzip:
            return std::make_unique<GzipWriter>(sink);
        case Compression::zstd:
            return std::make_unique<ZstdWriter>(sink);
        case Compression::none:
            break;
    }
    return std::make_unique<PlainWriter>(sink);
}

}  // namespace hull::layer
