// The poll loop of a monitor and its clients; the container's own life is in monitor.cpp.

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <csignal>

#include "base/log.hpp"
#include "base/text.hpp"
#include "monitor/monitor.hpp"

namespace hull::monitor {

void Monitor::loop() {
    enum : size_t { kSignals, kListener, kConsole, kOut, kErr, kIn, kFixed };
    bool reads_output = stage_ == Stage::running && !has_slow_reader();
    std::vector<pollfd> watched(kFixed);
    watched[kSignals] = {signals_.get(), POLLIN, 0};
    watched[kListener] = {listener_.get(), POLLIN, 0};
    watched[kConsole] = {stdio_ ? stdio_->console_listener() : -1, POLLIN, 0};
    watched[kOut] = {stdio_ && reads_output ? stdio_->out() : -1, POLLIN, 0};
    watched[kErr] = {stdio_ && reads_output ? stdio_->err() : -1, POLLIN, 0};
    watched[kIn] = {stdio_ ? stdio_->blocked_stdin() : -1, POLLOUT, 0};
    for (const auto& client : clients_) {
        auto events = static_cast<short>(POLLIN | (client->has_pending() ? POLLOUT : 0));
        watched.push_back({client->fd(), events, 0});
    }
    if (::poll(watched.data(), watched.size(), -1) < 0) {
        if (errno != EINTR) log::error("poll: errno " + std::to_string(errno));
        return;
    }
    auto is_ready = [&](size_t index) { return watched[index].revents != 0; };
    if (is_ready(kConsole))
        if (auto taken = stdio_->accept_terminal(); !taken)
            log::error("take the container's terminal: " + taken.error().to_string());
    if (is_ready(kOut)) forward(watched[kOut].fd, Stream::out);
    if (is_ready(kErr)) forward(watched[kErr].fd, Stream::err);
    if (is_ready(kIn)) stdio_->write_more_stdin();
    acknowledge_stdin();
    size_t known = watched.size() - kFixed;  // serve() never adds a client
    for (size_t i = 0; i < known; i++) {
        if ((watched[kFixed + i].revents & POLLOUT) != 0) clients_[i]->write_pending();
        if ((watched[kFixed + i].revents & (POLLIN | POLLHUP | POLLERR)) != 0) serve(*clients_[i]);
    }
    if (is_ready(kListener)) accept_client();
    if (is_ready(kSignals)) handle_children();
    drop_closed_clients();
    if (stage_ == Stage::owner && !has_owner()) run_on_exit();
    if (stage_ == Stage::flushing) flush_or_end();
}

void Monitor::accept_client() {
    Fd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (connection) clients_.push_back(std::make_unique<Client>(std::move(connection)));
}

void Monitor::serve(Client& client) {
    bool is_there = client.read_more();
    while (auto frame = client.next_frame())
        handle_frame(client, *frame);
    if (!is_there) client.close();
}

void Monitor::handle_frame(Client& client, const Frame& frame) {
    switch (frame.type) {
        case FrameType::hello:
            client.wants =
                frame.payload.empty() ? uint8_t{0} : static_cast<uint8_t>(frame.payload.front());
            if (!client.said_hello) greet(client);
            client.said_hello = true;
            return;
        case FrameType::stdin_data:
            client.awaits_stdin = true;
            if (stdio_) stdio_->write_stdin(frame.payload);
            return acknowledge_stdin();
        case FrameType::stdin_end:
            if (stdio_ && !settings_.terminal) stdio_->end_stdin();
            return;
        case FrameType::resize:
            if (auto size = parse_size(frame.payload); size && stdio_) stdio_->resize(*size);
            return;
        case FrameType::signal:
            if (auto signal = parse_number<int>(frame.payload)) signal_container(*signal);
            return;
        case FrameType::start:
            if (stage_ != Stage::held || starting_held_) return;
            starting_held_ = true;
            if (auto started = run_runtime({"start", settings_.id}, false); !started)
                fail_container(std::move(started).error());
            return;
        case FrameType::finished:
            owner_is_done_ = owner_is_done_ || stage_ >= Stage::deleting;
            if (stage_ == Stage::owner) flush_or_end();
            return;
        default:
            client.close();  // a monitor's frame: this is no client
    }
}

/// What a client that joins late has to know.
void Monitor::greet(Client& client) {
    if (status_.phase == Phase::created)
        client.send(FrameType::created, std::to_string(status_.pid));
    else if (stage_ == Stage::running)
        client.send(FrameType::started, std::to_string(status_.pid));
    else if (failure_)
        client.send(FrameType::failed, status_.error);
    else if (status_.phase == Phase::exited)
        client.send(FrameType::exited, std::to_string(status_.exit_code));
}

void Monitor::broadcast(FrameType type, std::string_view payload) {
    for (const auto& client : clients_)
        if (client->said_hello) client->send(type, payload);
}

void Monitor::acknowledge_stdin() {
    if (!stdio_ || !stdio_->stdin_is_drained()) return;
    for (const auto& client : clients_)
        if (std::exchange(client->awaits_stdin, false)) client->send(FrameType::stdin_taken);
}

bool Monitor::has_owner() const {
    return std::ranges::any_of(clients_, [](const auto& client) {
        return client->is_open() && (client->wants & kIsOwner) != 0;
    });
}

bool Monitor::has_slow_reader() const {
    return std::ranges::any_of(clients_, [](const auto& client) { return client->is_slow(); });
}

void Monitor::drop_closed_clients() {
    std::erase_if(clients_, [](const auto& client) { return !client->is_open(); });
}

}  // namespace hull::monitor
