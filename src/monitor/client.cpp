#include "monitor/client.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace hull::monitor {

Client::Client(Fd socket, FrameReader received)
    : socket_(std::move(socket)), reader_(std::move(received)) {
    ::fcntl(socket_.get(), F_SETFL, O_NONBLOCK);
}

void Client::send(FrameType type, std::string_view payload) {
    if (!is_open()) return;
    outgoing_ += encode_frame(type, payload);
    write_pending();
}

void Client::write_pending() {
    size_t written = 0;
    while (is_open() && written < outgoing_.size()) {
        ssize_t put = ::send(socket_.get(), outgoing_.data() + written, outgoing_.size() - written,
                             MSG_NOSIGNAL);
        if (put > 0) {
            written += static_cast<size_t>(put);
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            close();
        }
    }
    outgoing_.erase(0, written);
    if (!is_open()) outgoing_.clear();
}

bool Client::read_more() {
    std::array<char, 65536> buffer{};
    while (is_open()) {
        ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
        if (got > 0) {
            reader_.append({buffer.data(), static_cast<size_t>(got)});
            return true;
        }
        if (got < 0 && errno == EAGAIN) return true;
        if (got < 0 && errno == EINTR) continue;
        return false;
    }
    return false;
}

std::optional<Frame> Client::next_frame() {
    if (!is_open()) return std::nullopt;
    auto frame = reader_.next();
    if (!frame) {
        close();
        return std::nullopt;
    }
    return std::move(*frame);
}

}  // namespace hull::monitor
