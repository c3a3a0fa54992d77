#include "jail/protocol.hpp"

#include <sys/socket.h>

#include <cerrno>

#include "base/text.hpp"

namespace hull::jail {
namespace {

/// More than any error or log record; an error that is longer is cut.
constexpr size_t kLongestMessage = 8192;

Result<void> send_message(int socket, Message message, std::string_view text) {
    std::string bytes(1, static_cast<char>(message));
    bytes += text.substr(0, kLongestMessage - 1);
    // No SIGPIPE: a gone peer is an error that the caller handles.
    if (::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0)
        return fail_errno(errno, "talk to the other side of the handshake");
    return {};
}

Error unexpected_message(std::string_view received, Message expected) {
    return make_error(Errc::internal, "handshake: got " + quote(received.substr(0, 1)) +
                                          " in the place of '" + static_cast<char>(expected) + "'");
}

log::Level level_of(char letter) {
    switch (letter) {
        case 'd':
            return log::Level::debug;
        case 'i':
            return log::Level::info;
        case 'e':
            return log::Level::error;
        default:
            return log::Level::warning;
    }
}

}  // namespace

Result<Channel> create_channel() {
    auto pair = TRY(create_socket_pair(SOCK_SEQPACKET));
    return Channel{.parent = ParentEnd(std::move(pair.first)),
                   .child = ChildEnd(std::move(pair.second))};
}

// ---- parent ----

Result<void> ParentEnd::send(Message message, std::span<const int> fds) const {
    if (fds.empty()) return send_message(socket_.get(), message, {});
    const char letter = static_cast<char>(message);
    return send_with_fds(socket_.get(), std::string_view(&letter, 1), fds);
}

Result<ParentEnd::Received> ParentEnd::receive() const {
    while (true) {
        auto next = receive_with_fds(socket_.get(), kLongestMessage);
        // unix(7): the child ended without having read all that we sent. What it said is still
        // there.
        if (!next && next.error().sys_errno == ECONNRESET)
            next = receive_with_fds(socket_.get(), kLongestMessage);
        const auto received = TRY(std::move(next));
        if (received.bytes.empty()) return Received{.is_end = true};
        const auto message = static_cast<Message>(received.bytes.front());
        const auto text = std::string_view(received.bytes).substr(1);
        if (message == Message::log) {
            if (!text.empty()) log::write(level_of(text.front()), text.substr(1));
            continue;
        }
        if (message == Message::error) {
            auto error = decode_error(text);
            if (!error) return fail(Errc::internal, "the child failed without saying why");
            return fail(std::move(*error));
        }
        return Received{.message = message, .text = std::string(text)};
    }
}

Result<std::string> ParentEnd::wait_for(Message expected) const {
    auto received = TRY(receive());
    if (received.is_end)
        return fail(Errc::internal, "the container's process ended while it was set up",
                    "it may have been killed, for lack of memory for example");
    if (received.message != expected) {
        const char letter = static_cast<char>(received.message);
        return fail(unexpected_message(std::string_view(&letter, 1), expected));
    }
    return std::move(received.text);
}

// ---- child ----

Result<void> ChildEnd::send(Message message, std::string_view text) const {
    return send_message(socket_.get(), message, text);
}

Result<std::vector<Fd>> ChildEnd::wait_for(Message expected) const {
    auto received = TRY(receive_with_fds(socket_.get(), kLongestMessage));
    if (received.bytes.empty())
        return fail(Errc::cancelled, "the process that made this container is gone");
    if (received.bytes.front() != static_cast<char>(expected))
        return fail(unexpected_message(received.bytes, expected));
    return std::move(received.fds);
}

Result<void> ChildEnd::wait_for_maps() const {
    TRY(wait_for(Message::maps_done));
    return {};
}

Result<std::vector<Fd>> ChildEnd::wait_for_go() const {
    return wait_for(Message::go);
}

Result<void> ChildEnd::ask_for_hooks() const {
    TRY(send(Message::need_hooks));
    TRY(wait_for(Message::hooks_done));
    return {};
}

Result<void> ChildEnd::send_child(pid_t pid) const {
    return send(Message::child, std::to_string(pid));
}

Result<void> ChildEnd::send_listener() const {
    return send(Message::listener);
}

Result<void> ChildEnd::send_ready() const {
    return send(Message::ready);
}

Result<void> ChildEnd::wait_for_created() const {
    TRY(wait_for(Message::created));
    return {};
}

Result<void> ChildEnd::wait_for_start() const {
    TRY(wait_for(Message::start));
    return {};
}

void ChildEnd::send_error(const Error& error) const {
    // Nobody is left to tell when this fails.
    (void)send(Message::error, encode_error(error));
}

void ChildEnd::send_log(log::Level level, std::string_view text) const {
    (void)send(Message::log, std::string(1, log::level_name(level).front()) + std::string(text));
}

}  // namespace hull::jail
