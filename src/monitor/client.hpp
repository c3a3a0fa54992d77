#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "monitor/attach.hpp"

namespace hull::monitor {

/// One connection to the attach socket, as the monitor sees it. Never blocks.
class Client {
  public:
    /// @param received  what was read from the socket already
    explicit Client(Fd socket, FrameReader received = {});

    int fd() const { return socket_.get(); }
    bool is_open() const { return socket_.is_open(); }
    void close() { socket_.reset(); }

    /// Queues a frame and writes what the socket takes.
    void send(FrameType type, std::string_view payload = {});
    /// Writes more of the queue. Closes on failure.
    void write_pending();
    bool has_pending() const { return !outgoing_.empty(); }
    /// The queue is so long that the container has to wait for this reader.
    bool is_slow() const { return outgoing_.size() > kSlowAt; }

    /// Reads what is there. False: the peer is gone.
    bool read_more();
    /// The next whole frame. A peer that breaks the protocol is closed.
    std::optional<Frame> next_frame();

    uint8_t wants = 0;
    bool said_hello = false;
    /// Its stdin_data waits to be acknowledged.
    bool awaits_stdin = false;

  private:
    static constexpr size_t kSlowAt = 1U << 20U;
    Fd socket_;
    FrameReader reader_;
    std::string outgoing_;
};

}  // namespace hull::monitor
