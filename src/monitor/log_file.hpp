#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

// A container's log is docker's json-file: one JSON object on each line,
// {"log":"text\n","stream":"stdout","time":"2026-01-02T03:04:05.000000006Z"}. A line of the
// program longer than 16 KiB is cut into several records, of which only the last ends in \n.

namespace hull::monitor {

enum class Stream { out, err };

struct LogSettings {
    std::string path;        ///< empty: nothing is logged
    uint64_t max_size = 0;   ///< bytes after which the file is rotated to PATH.1; 0: never
    uint32_t max_files = 1;  ///< files kept, the one in use included
};

/// Writes what a container says. Only its monitor has one.
class LogFile {
  public:
    static Result<LogFile> create(LogSettings settings);

    /// Adds bytes of one stream; whole lines go to the file in a single write(2), a line without an
    /// end waits for it. A failure is reported once and the log goes on when the disk allows it.
    void append(Stream stream, std::string_view bytes, std::chrono::system_clock::time_point when);
    /// Writes the lines that never got their end.
    void flush(std::chrono::system_clock::time_point when);

  private:
    LogFile(LogSettings settings, Fd file, uint64_t size)
        : settings_(std::move(settings)), file_(std::move(file)), size_(size) {}
    void write_records(const std::string& records);
    void rotate();

    LogSettings settings_;
    Fd file_;
    uint64_t size_ = 0;
    bool is_failing_ = false;  ///< said already: the record of that may be on a full disk itself
    std::string partial_[2];
};

/// One record of a log file.
struct LogRecord {
    Stream stream = Stream::out;
    std::string text;
    std::string time;
};
/// @errors corrupt: not a record (for instance the cut-off last line of a full disk).
Result<LogRecord> parse_log_record(std::string_view line);

/// Appends one record with its newline to `out`. Bytes that are no UTF-8 become U+FFFD, as JSON
/// cannot hold them.
void format_log_record(std::string& out, const LogRecord& record);

}  // namespace hull::monitor
