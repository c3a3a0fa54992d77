#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/result.hpp"
#include "monitor/attach.hpp"
#include "monitor/settings.hpp"
#include "monitor/status.hpp"

namespace hull::engine {

/// A connection to a monitor's attach socket.
class MonitorConnection {
  public:
    explicit MonitorConnection(Fd socket) : socket_(std::move(socket)) {}
    /// @errors not_found, io: there is no monitor any more
    static Result<MonitorConnection> connect(const std::string& run_directory, uint8_t wants);

    int fd() const { return socket_.get(); }
    /// @errors io: the monitor is gone
    Result<void> send(monitor::FrameType type, std::string_view payload = {});
    /// The next frame. Waits at most `timeout` (nullopt: for ever).
    /// @return  nullopt: the monitor is gone
    /// @errors timeout
    Result<std::optional<monitor::Frame>> receive(
        std::optional<std::chrono::milliseconds> timeout = std::nullopt);
    /// A frame that has arrived already.
    Result<std::optional<monitor::Frame>> next_buffered() { return reader_.next(); }
    /// Reads once from the socket without waiting; false: the monitor is gone.
    Result<bool> read_more();

  private:
    Fd socket_;
    monitor::FrameReader reader_;
};

/// What start_monitor() gives back.
struct StartedMonitor {
    pid_t pid = 0;
    MonitorConnection connection;
};

/// Writes settings.json into the run directory and starts hull-monitor, whose lock is taken before
/// it exists: at no moment does a living monitor look dead.
/// @param wants  of the first client, which the connection is
Result<StartedMonitor> start_monitor(const monitor::MonitorSettings& settings, uint8_t wants);

/// Whether the monitor of this run directory lives (its lock is held).
bool is_monitor_alive(const std::string& run_directory);

}  // namespace hull::engine
