// The reproducible writer of tar.hpp.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <utility>

#include "layer/tar.hpp"

namespace hull::layer {
namespace {

constexpr size_t kBlock = 512;
constexpr uint64_t kMaxOctal7 = 07777777;
constexpr uint64_t kMaxOctal11 = 077777777777ULL;

/// POSIX.1-1988 header, "ustar".
struct Header {
    std::array<char, 100> name{};
    std::array<char, 8> mode{};
    std::array<char, 8> uid{};
    std::array<char, 8> gid{};
    std::array<char, 12> size{};
    std::array<char, 12> mtime{};
    std::array<char, 8> checksum{};
    char type = '0';
    std::array<char, 100> link{};
    std::array<char, 6> magic{'u', 's', 't', 'a', 'r', '\0'};
    std::array<char, 2> version{'0', '0'};
    std::array<char, 32> user{};
    std::array<char, 32> group{};
    std::array<char, 8> major{};
    std::array<char, 8> minor{};
    std::array<char, 155> prefix{};
    std::array<char, 12> unused{};
};
static_assert(sizeof(Header) == kBlock);

/// Zero-padded octal digits and a NUL. The caller has checked that the value fits.
template <size_t N>
void put_octal(std::array<char, N>& field, uint64_t value) {
    for (size_t i = N - 1; i-- > 0; value >>= 3U)
        field[i] = static_cast<char>('0' + (value & 7U));
    field[N - 1] = '\0';
}

template <size_t N>
bool put_text(std::array<char, N>& field, std::string_view text) {
    std::memcpy(field.data(), text.data(), std::min(text.size(), N));
    return text.size() <= N;
}

/// Splits a long name at a slash into prefix and name.
bool put_name(Header& header, std::string_view name) {
    if (put_text(header.name, name)) return true;
    for (size_t slash = name.find('/'); slash != std::string_view::npos && slash <= 155;
         slash = name.find('/', slash + 1)) {
        std::string_view rest = name.substr(slash + 1);
        if (slash == 0 || rest.empty() || rest.size() > header.name.size()) continue;
        header.name.fill('\0');
        put_text(header.name, rest);
        put_text(header.prefix, name.substr(0, slash));
        return true;
    }
    return false;
}

/// "LENGTH KEY=VALUE\n", where LENGTH counts itself.
std::string pax_record(std::string_view key, std::string_view value) {
    size_t rest = key.size() + value.size() + 3;
    size_t length = rest + 1;
    while (length != rest + std::to_string(length).size())
        length = rest + std::to_string(length).size();
    std::string record = std::to_string(length);
    record.append(" ").append(key).append("=").append(value).append("\n");
    return record;
}

char type_flag(TarType type) {
    switch (type) {
        case TarType::file:
            return '0';
        case TarType::hard_link:
            return '1';
        case TarType::symlink:
            return '2';
        case TarType::character_device:
            return '3';
        case TarType::block_device:
            return '4';
        case TarType::directory:
            return '5';
        case TarType::fifo:
            return '6';
    }
    return '0';
}

std::string format_time(const timespec& time) {
    // pax times are decimal; before 1970 the fraction counts towards zero.
    int64_t seconds = time.tv_sec;
    int64_t nanoseconds = time.tv_nsec;
    std::string sign;
    if (seconds < 0) {
        sign = "-";
        seconds = -seconds;
        if (nanoseconds > 0) {
            --seconds;
            nanoseconds = 1'000'000'000 - nanoseconds;
        }
    }
    std::string text = sign + std::to_string(seconds);
    if (nanoseconds != 0) {
        std::array<char, 16> fraction{};
        std::snprintf(fraction.data(), fraction.size(), ".%09lld",
                      static_cast<long long>(nanoseconds));
        text += fraction.data();
        while (text.ends_with('0'))
            text.pop_back();
    }
    return text;
}

std::string_view as_bytes(const Header& header) {
    return {reinterpret_cast<const char*>(&header), sizeof(header)};
}

void seal(Header& header) {
    header.checksum.fill(' ');
    unsigned sum = 0;
    for (char c : as_bytes(header))
        sum += static_cast<unsigned char>(c);
    std::array<char, 7> digits{};
    put_octal(digits, sum);
    std::memcpy(header.checksum.data(), digits.data(), digits.size());
    header.checksum[7] = ' ';
}

/// The ustar header; what it cannot hold goes to `pax`.
Header make_header(const TarEntry& entry, std::string& pax) {
    Header header;
    header.type = type_flag(entry.type);
    if (!put_name(header, entry.name)) pax += pax_record("path", entry.name);
    if (!put_text(header.link, entry.link)) pax += pax_record("linkpath", entry.link);
    put_octal(header.mode, entry.mode & 07777U);
    uint64_t size = entry.type == TarType::file ? entry.size : 0;
    if (size > kMaxOctal11) pax += pax_record("size", std::to_string(size));
    put_octal(header.size, std::min(size, kMaxOctal11));
    if (entry.uid > kMaxOctal7) pax += pax_record("uid", std::to_string(entry.uid));
    put_octal(header.uid, entry.uid > kMaxOctal7 ? 0 : entry.uid);
    if (entry.gid > kMaxOctal7) pax += pax_record("gid", std::to_string(entry.gid));
    put_octal(header.gid, entry.gid > kMaxOctal7 ? 0 : entry.gid);
    bool plain_time = entry.mtime.tv_nsec == 0 && entry.mtime.tv_sec >= 0 &&
                      static_cast<uint64_t>(entry.mtime.tv_sec) <= kMaxOctal11;
    if (!plain_time) pax += pax_record("mtime", format_time(entry.mtime));
    put_octal(header.mtime, entry.mtime.tv_sec < 0
                                ? 0
                                : std::min(static_cast<uint64_t>(entry.mtime.tv_sec), kMaxOctal11));
    if (entry.type == TarType::character_device || entry.type == TarType::block_device) {
        put_octal(header.major, entry.device_major);
        put_octal(header.minor, entry.device_minor);
    }
    auto xattrs = entry.xattrs;
    std::sort(xattrs.begin(), xattrs.end());
    for (const auto& [name, value] : xattrs)
        pax += pax_record("SCHILY.xattr." + name, value);
    seal(header);
    return header;
}

}  // namespace

Result<void> TarWriter::add(const TarEntry& entry) {
    if (left_ != 0) return fail(Errc::internal, "tar: a member before " + entry.name + " is short");
    TRY(pad());
    std::string pax;
    Header header = make_header(entry, pax);
    if (!pax.empty()) {
        Header extension;
        extension.type = 'x';
        put_text(extension.name, "PaxHeaders.0/entry");
        put_octal(extension.mode, 0644);
        put_octal(extension.uid, 0);
        put_octal(extension.gid, 0);
        put_octal(extension.size, pax.size());
        put_octal(extension.mtime, 0);
        seal(extension);
        TRY(sink_->write(as_bytes(extension)));
        pax.resize((pax.size() + kBlock - 1) / kBlock * kBlock, '\0');
        TRY(sink_->write(pax));
    }
    TRY(sink_->write(as_bytes(header)));
    left_ = entry.type == TarType::file ? entry.size : 0;
    padding_ = (kBlock - left_ % kBlock) % kBlock;
    return {};
}

Result<void> TarWriter::write_data(std::string_view bytes) {
    if (bytes.size() > left_) return fail(Errc::internal, "tar: a member is longer than it said");
    left_ -= bytes.size();
    return sink_->write(bytes);
}

Result<void> TarWriter::pad() {
    static constexpr std::array<char, kBlock> kZeros{};
    size_t count = static_cast<size_t>(std::exchange(padding_, 0));
    if (count == 0) return {};
    return sink_->write({kZeros.data(), count});
}

Result<void> TarWriter::add_file(const std::string& name, std::string_view content) {
    TarEntry entry;
    entry.name = name;
    entry.size = content.size();
    entry.mode = 0644;
    TRY(add(entry));
    return write_data(content);
}

Result<void> TarWriter::finish() {
    if (left_ != 0) return fail(Errc::internal, "tar: the last member is short");
    TRY(pad());
    return sink_->write(std::string(2 * kBlock, '\0'));
}

}  // namespace hull::layer
