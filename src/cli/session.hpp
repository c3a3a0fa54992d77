#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "engine/monitor_client.hpp"

namespace hull::cli {

/// How this process takes part in a container or exec session.
struct SessionOptions {
    bool terminal = false;  ///< the container has one: ours goes into raw mode
    bool forward_stdin = false;
    bool forward_signals = false;
    std::string detach_keys;  ///< bytes; empty: no way out
    std::function<void()> on_started;
};

enum class SessionEnd { exited, detached, failed, monitor_gone };

struct SessionResult {
    SessionEnd end = SessionEnd::monitor_gone;
    int exit_code = 0;
    Error error;  ///< of `failed`
};

/// Passes stdin, output, signals and window sizes between this process and a monitor until the
/// container has ended or the detach keys were typed. Our terminal is as before afterwards.
Result<SessionResult> run_session(engine::MonitorConnection& connection,
                                  const SessionOptions& options);

/// Size of our terminal; nullopt: there is none.
std::optional<monitor::TerminalSize> own_terminal_size();

}  // namespace hull::cli
