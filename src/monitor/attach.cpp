#include "monitor/attach.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "base/text.hpp"

namespace hull::monitor {
namespace {

constexpr size_t kHeader = 5;

bool is_known(uint8_t type) {
    return (type >= static_cast<uint8_t>(FrameType::hello) &&
            type <= static_cast<uint8_t>(FrameType::settings)) ||
           (type >= static_cast<uint8_t>(FrameType::created) &&
            type <= static_cast<uint8_t>(FrameType::deleted));
}

}  // namespace

std::string encode_frame(FrameType type, std::string_view payload) {
    auto size = static_cast<uint32_t>(payload.size());
    std::string out;
    out.reserve(kHeader + payload.size());
    out.push_back(static_cast<char>(type));
    for (unsigned shift : {24U, 16U, 8U, 0U})
        out.push_back(static_cast<char>((size >> shift) & 0xffU));
    out.append(payload);
    return out;
}

Result<std::optional<Frame>> FrameReader::next() {
    std::string_view rest = std::string_view(buffer_).substr(consumed_);
    if (rest.size() < kHeader) {
        buffer_.erase(0, consumed_);
        consumed_ = 0;
        return std::nullopt;
    }
    auto type = static_cast<uint8_t>(rest[0]);
    if (!is_known(type))
        return fail(Errc::corrupt, "attach stream: unknown frame type " + std::to_string(type));
    uint32_t size = 0;
    for (size_t i = 1; i < kHeader; i++)
        size = size << 8U | static_cast<uint8_t>(rest[i]);
    if (size > kMaxFramePayload)
        return fail(Errc::corrupt, "attach stream: a frame of " + std::to_string(size) + " bytes");
    if (rest.size() < kHeader + size) {
        buffer_.erase(0, consumed_);
        consumed_ = 0;
        return std::nullopt;
    }
    Frame frame{static_cast<FrameType>(type), std::string(rest.substr(kHeader, size))};
    consumed_ += kHeader + size;
    return frame;
}

std::string encode_size(TerminalSize size) {
    return std::to_string(size.rows) + " " + std::to_string(size.columns);
}

std::optional<TerminalSize> parse_size(std::string_view payload) {
    auto words = split(payload, ' ');
    if (words.size() != 2) return std::nullopt;
    auto rows = parse_number<uint16_t>(words[0]);
    auto columns = parse_number<uint16_t>(words[1]);
    if (!rows || !columns) return std::nullopt;
    return TerminalSize{*rows, *columns};
}

namespace {

struct Address {
    Fd directory;
    sockaddr_un address{};
};

Result<Address> address_in(const std::string& directory, std::string_view name) {
    Address out;
    out.directory = TRY(open_path(directory, O_PATH | O_DIRECTORY));
    std::string path =
        "/proc/self/fd/" + std::to_string(out.directory.get()) + "/" + std::string(name);
    out.address.sun_family = AF_UNIX;
    if (path.size() >= sizeof out.address.sun_path)
        return fail(Errc::invalid, "socket name " + quote(name) + " is too long");
    std::memcpy(out.address.sun_path, path.c_str(), path.size() + 1);
    return out;
}

}  // namespace

Result<Fd> listen_in(const std::string& directory, std::string_view name) {
    auto target = TRY(address_in(directory, name));
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return fail_errno(errno, "make a unix socket");
    mode_t old_mask = ::umask(0077);
    int bound = ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&target.address),
                       sizeof target.address);
    int failed = errno;
    ::umask(old_mask);
    if (bound < 0) return fail_errno(failed, "bind socket " + directory + "/" + std::string(name));
    if (::listen(socket.get(), 64) < 0)
        return fail_errno(errno, "listen on " + directory + "/" + std::string(name));
    return socket;
}

Result<Fd> connect_in(const std::string& directory, std::string_view name) {
    auto target = TRY(address_in(directory, name));
    Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!socket) return fail_errno(errno, "make a unix socket");
    while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&target.address),
                     sizeof target.address) < 0)
        if (errno != EINTR)
            return fail_errno(errno, "connect to " + directory + "/" + std::string(name));
    return socket;
}

}  // namespace hull::monitor
