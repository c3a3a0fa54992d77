#include <zstd.h>

#include <atomic>
#include <memory>
#include <thread>

#include <doctest/doctest.h>

#include "layer/compress.hpp"
#include "layer/hash.hpp"

using namespace hull;
using layer::Compression;

namespace {

std::string sample(size_t size) {
    std::string text;
    unsigned state = 12345;
    while (text.size() < size) {
        state = state * 1103515245U + 12345U;
        text += (state >> 16U) % 3 == 0 ? "some words again and again " : std::to_string(state);
    }
    text.resize(size);
    return text;
}

std::string compress(const std::string& text, Compression compression) {
    layer::TextSink sink;
    auto compressor = layer::create_compressor(compression, sink);
    for (size_t i = 0; i < text.size(); i += 10'000)
        REQUIRE(compressor->write(std::string_view{text}.substr(i, 10'000)));
    REQUIRE(compressor->finish());
    return sink.text;
}

/// Gives its text in pieces of `step` bytes.
class PieceSource final : public layer::ByteSource {
  public:
    PieceSource(std::string_view text, size_t step) : text_(text), step_(step) {}
    Result<std::string_view> read() override {
        std::string_view piece = text_.substr(0, step_);
        text_.remove_prefix(piece.size());
        buffer_ = piece;
        return std::string_view{buffer_};
    }

  private:
    std::string_view text_;
    size_t step_;
    std::string buffer_;
};

Result<std::string> decompress(const std::string& bytes, size_t step = 1U << 20U) {
    PieceSource source{bytes, step};
    auto decompressor = TRY(layer::create_decompressor(source));
    std::string out;
    for (;;) {
        std::string_view piece = TRY(decompressor->read());
        if (piece.empty()) return out;
        out.append(piece);
    }
}

}  // namespace

TEST_CASE("what is compressed comes back, whatever the size of the pieces") {
    std::string text = sample(700'000);
    for (Compression compression : {Compression::none, Compression::gzip, Compression::zstd}) {
        std::string bytes = compress(text, compression);
        CAPTURE(layer::compression_name(compression));
        CHECK(layer::detect_compression(bytes) == compression);
        CHECK(compress(text, compression) == bytes);  // reproducible
        for (size_t step : {size_t{1}, size_t{7}, size_t{4096}, size_t{1} << 20U}) {
            if (step == 1 && compression == Compression::none) continue;
            auto back = decompress(bytes, step);
            REQUIRE(back);
            CHECK(*back == text);
        }
    }
    for (Compression compression : {Compression::none, Compression::gzip, Compression::zstd})
        CHECK(*decompress(compress("", compression)) == "");
}

TEST_CASE("the window of a zstd frame is known from its header") {
    auto frame = [](int window_log, size_t pledged) {
        std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context{ZSTD_createCCtx(),
                                                                     ZSTD_freeCCtx};
        ZSTD_CCtx_setParameter(context.get(), ZSTD_c_windowLog, window_log);
        if (pledged > 0) ZSTD_CCtx_setPledgedSrcSize(context.get(), pledged);
        std::string text(pledged > 0 ? pledged : 10, 'x');
        std::string out(text.size() + 1000, '\0');
        ZSTD_inBuffer in{text.data(), text.size(), 0};
        ZSTD_outBuffer to{out.data(), out.size(), 0};
        REQUIRE(ZSTD_compressStream2(context.get(), &to, &in, ZSTD_e_continue) <= 1U << 30U);
        if (pledged == 0) REQUIRE(ZSTD_compressStream2(context.get(), &to, &in, ZSTD_e_flush) == 0);
        if (pledged > 0) REQUIRE(ZSTD_compressStream2(context.get(), &to, &in, ZSTD_e_end) == 0);
        return out.substr(0, to.pos);
    };
    CHECK(layer::zstd_window_size(frame(20, 0)) == 1U << 20U);
    CHECK(layer::zstd_window_size(frame(27, 0)) == 128U << 20U);
    // The content's size in 1, 2 and 4 bytes stands for the window.
    CHECK(layer::zstd_window_size(frame(20, 100)) == 100);
    CHECK(layer::zstd_window_size(frame(20, 1000)) == 1000);
    CHECK(layer::zstd_window_size(frame(20, 100'000)) == 100'000);
    std::string skippable{"\x50\x2a\x4d\x18\x03\0\0\0abc", 11};
    CHECK(layer::zstd_window_size(skippable) == 0);
    CHECK(layer::zstd_window_size("\x28\xb5") == 0);
}

TEST_CASE("windows of zstd frames wait for each other when they would take too much together") {
    layer::WindowBudget budget{100};
    layer::WindowBudget::Share first{&budget};
    layer::WindowBudget::Share second{&budget};
    first.take(60);
    second.take(40);
    std::atomic<bool> has_all{false};
    std::thread large{[&] {
        layer::WindowBudget::Share share{&budget};
        share.take(1000);  // more than there is: waits for all of it
        has_all = true;
    }};
    first.give_back();
    std::this_thread::yield();
    CHECK_FALSE(has_all.load());
    second.give_back();
    large.join();
    CHECK(has_all.load());
    first.take(100);  // everything came back
    CHECK(first.held() == 100);
}

TEST_CASE("gzip of many members and zstd of many frames are read whole") {
    for (Compression compression : {Compression::gzip, Compression::zstd}) {
        std::string bytes;
        std::string text;
        for (int i = 0; i < 40; ++i) {
            std::string part = sample(static_cast<size_t>(i) * 137);
            text += part;
            bytes += compress(part, compression);
        }
        for (size_t step : {size_t{1}, size_t{13}, size_t{1} << 20U}) {
            auto back = decompress(bytes, step);
            REQUIRE(back);
            CHECK(*back == text);
        }
    }
    // A skippable frame first, as zstd:chunked and pzstd write it.
    std::string skippable{"\x50\x2a\x4d\x18\x04\x00\x00\x00skip", 12};
    CHECK(layer::detect_compression(skippable) == Compression::zstd);
    auto back = decompress(skippable + compress("text", Compression::zstd) + skippable);
    REQUIRE(back);
    CHECK(*back == "text");
}

TEST_CASE("gzip may be padded with zeros but not with anything else") {
    std::string bytes = compress("text", Compression::gzip);
    CHECK(*decompress(bytes + std::string(1000, '\0')) == "text");
    auto garbage = decompress(bytes + "garbage");
    REQUIRE_FALSE(garbage);
    CHECK(garbage.error().code == Errc::corrupt);
}

TEST_CASE("a gzip header with extra field, name, comment and check sum may come in pieces") {
    // RFC 1952, 2.3: FHCRC, FEXTRA, FNAME, FCOMMENT; then "hello", stored (RFC 1951, 3.2.4).
    std::string header{"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x03\0abcname\0comment\0", 28};
    uint32_t sum = 0xffffffffU;  // CRC-32, of which the header has the lower half
    for (char c : header) {
        sum ^= static_cast<unsigned char>(c);
        for (int bit = 0; bit < 8; ++bit)
            sum = (sum >> 1U) ^ ((sum & 1U) != 0 ? 0xedb88320U : 0U);
    }
    sum = ~sum;
    header += static_cast<char>(sum & 0xffU);
    header += static_cast<char>(sum >> 8U & 0xffU);
    const std::string body{"\x01\x05\x00\xfa\xffhello\x86\xa6\x10\x36\x05\0\0\0", 18};
    // Many times: what was read of memory never written would be right most of them.
    for (int attempt = 0; attempt < 100; ++attempt)
        for (size_t step : {1U, 2U, 3U, 5U, 9U, 11U, 100U}) {
            auto out = decompress(header + body, step);
            REQUIRE(out.has_value());
            CHECK(*out == "hello");
        }
    header[20] = 'X';
    CHECK_FALSE(decompress(header + body, 4).has_value());
}

TEST_CASE("a truncated or damaged stream is an error, never a short file") {
    std::string text = sample(100'000);
    for (Compression compression : {Compression::gzip, Compression::zstd}) {
        std::string bytes = compress(text, compression);
        for (size_t cut = 8; cut < bytes.size(); cut += 997) {
            auto back = decompress(bytes.substr(0, cut));
            REQUIRE_FALSE(back);
            CHECK(back.error().code == Errc::corrupt);
        }
        auto without_end = decompress(bytes.substr(0, bytes.size() - 1));
        CHECK_FALSE(without_end);
        std::string flipped = bytes;
        flipped[bytes.size() / 2] = static_cast<char>(flipped[bytes.size() / 2] ^ 0x10);
        auto damaged = decompress(flipped);
        CHECK_FALSE(damaged);
    }
}

TEST_CASE("formats that are not read are named") {
    CHECK(decompress("BZh91AY&SY").error().message.find("bzip2") != std::string::npos);
    CHECK(decompress(std::string("\xfd"
                                 "7zXZ\0xxx",
                                 9))
              .error()
              .message.find("xz") != std::string::npos);
}

TEST_CASE("hashes are those of the standard") {
    CHECK(layer::hash("abc").to_string() ==
          "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(layer::hash("", spec::DigestAlgorithm::sha512).hex().substr(0, 16) == "cf83e1357eefb8bd");
}
