#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

// What travels over a container's attach socket (RUN/ID/attach.sock, a unix stream socket).
//
//   client                                monitor
//   rootfs, settings, with the lock    ->           only from who started the monitor, see handover
//   hello (what it wants)              ->
//                                      <- created   the process exists and waits for start
//   start                              ->           only where the settings hold it back
//                                      <- started   it runs
//   stdin_data                         ->
//                                      <- stdin_taken   written to the container; send the next
//   stdin_end, resize, signal          ->           at any time
//                                      <- stdout_data | stderr_data
//                                      <- exited | failed
//                                      <- deleted   what the runtime had made is gone
//   finished                           ->           an owner has done the on-exit work itself
//
// At most one stdin_data is under way per client, so that a signal never queues behind input that
// nobody reads. A client that joins late gets `started` at once and nothing of the past (that is
// the log file's).

namespace hull::monitor {

enum class FrameType : uint8_t {
    hello = 1,     ///< payload: one byte of Wants
    stdin_data,    ///< payload: bytes
    stdin_end,     ///< empty
    resize,        ///< payload: "ROWS COLUMNS"
    signal,        ///< payload: a signal's number
    start,         ///< empty
    finished,      ///< empty
    rootfs,        ///< payload: format_rootfs()
    settings,      ///< payload: format_settings()
    created = 64,  ///< payload: the process's pid on the host
    started,       ///< payload: the process's pid on the host
    stdin_taken,   ///< empty
    stdout_data,   ///< payload: bytes
    stderr_data,   ///< payload: bytes
    exited,        ///< payload: the exit code, 128+n when a signal ended it
    failed,        ///< payload: encode_error() of why it could not be made or started
    deleted,       ///< empty; the status is saved as well
};

/// Bits of the hello byte.
enum Wants : uint8_t {
    kWantsOutput = 1,  ///< stdout and stderr
    kWantsInput = 2,   ///< will send stdin
    kIsOwner = 4,      ///< does the on-exit work itself, unless it goes away before
};

struct Frame {
    FrameType type = FrameType::hello;
    std::string payload;
};

/// Largest payload either side accepts.
inline constexpr size_t kMaxFramePayload = 256U << 10U;

/// Type byte, length as four bytes, most significant first, payload.
std::string encode_frame(FrameType type, std::string_view payload = {});

/// Cuts a byte stream into frames.
class FrameReader {
  public:
    void append(std::string_view bytes) { buffer_.append(bytes); }
    /// The next whole frame; nullopt: more bytes are needed.
    /// @errors corrupt: an unknown type, or a payload over kMaxFramePayload.
    Result<std::optional<Frame>> next();

  private:
    std::string buffer_;
    size_t consumed_ = 0;
};

/// Size of a terminal in character cells.
struct TerminalSize {
    uint16_t rows = 0;
    uint16_t columns = 0;
};
std::string encode_size(TerminalSize size);
std::optional<TerminalSize> parse_size(std::string_view payload);

/// Name of the socket in a container's or exec session's run directory.
inline constexpr std::string_view kAttachSocket = "attach.sock";

/// Listens on, or connects to, the socket `name` in `directory`. The path may be longer than a
/// socket address: it is reached through the open directory (unix(7), 108 bytes).
Result<Fd> listen_in(const std::string& directory, std::string_view name);
Result<Fd> connect_in(const std::string& directory, std::string_view name);

}  // namespace hull::monitor
