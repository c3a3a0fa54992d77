#include "monitor/log_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/log.hpp"
#include "base/units.hpp"

namespace hull::monitor {
namespace {

constexpr size_t kMaxRecord = 16U << 10U;

/// Length of the UTF-8 sequence at the start of `text`, 0 when it is none.
size_t sequence_length(std::string_view text) {
    auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    uint8_t first = byte(0);
    size_t length = first < 0x80                    ? 1
                    : first >= 0xc2 && first < 0xe0 ? 2
                    : first >= 0xe0 && first < 0xf0 ? 3
                    : first >= 0xf0 && first < 0xf5 ? 4
                                                    : 0;
    if (length == 0 || text.size() < length) return 0;
    for (size_t i = 1; i < length; i++)
        if ((byte(i) & 0xc0U) != 0x80) return 0;
    // Overlong forms, surrogates, beyond U+10FFFF.
    if (first == 0xe0 && byte(1) < 0xa0) return 0;
    if (first == 0xed && byte(1) > 0x9f) return 0;
    if (first == 0xf0 && byte(1) < 0x90) return 0;
    if (first == 0xf4 && byte(1) > 0x8f) return 0;
    return length;
}

void append_json_string(std::string& out, std::string_view text) {
    out.push_back('"');
    while (!text.empty()) {
        size_t length = sequence_length(text);
        auto c = static_cast<uint8_t>(text[0]);
        if (length == 0) {
            out += "\xef\xbf\xbd";
            length = 1;
        } else if (c == '"' || c == '\\') {
            out.push_back('\\');
            out.push_back(text[0]);
        } else if (c == '\n') {
            out += "\\n";
        } else if (c == '\r') {
            out += "\\r";
        } else if (c == '\t') {
            out += "\\t";
        } else if (c < 0x20 || c == 0x7f) {
            std::array<char, 8> escaped{};
            std::snprintf(escaped.data(), escaped.size(), "\\u%04x", c);
            out += escaped.data();
        } else {
            out.append(text.substr(0, length));
        }
        text.remove_prefix(length);
    }
    out.push_back('"');
}

}  // namespace

void format_log_record(std::string& out, const LogRecord& record) {
    out += "{\"log\":";
    append_json_string(out, record.text);
    out += record.stream == Stream::out ? ",\"stream\":\"stdout\"" : ",\"stream\":\"stderr\"";
    out += ",\"time\":\"" + record.time + "\"}\n";
}

Result<LogFile> LogFile::create(LogSettings settings) {
    Fd file;
    uint64_t size = 0;
    if (!settings.path.empty()) {
        file = TRY(
            with_context(open_path(settings.path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600),
                         "open the container's log"));
        struct stat info{};
        if (::fstat(file.get(), &info) == 0) size = static_cast<uint64_t>(info.st_size);
    }
    return LogFile(std::move(settings), std::move(file), size);
}

void LogFile::append(Stream stream, std::string_view bytes,
                     std::chrono::system_clock::time_point when) {
    if (settings_.path.empty()) return;
    std::string& partial = partial_[stream == Stream::out ? 0 : 1];
    std::string records;
    LogRecord record{stream, {}, format_timestamp(when)};
    while (!bytes.empty()) {
        size_t end = bytes.find('\n');
        size_t room = kMaxRecord - partial.size();
        bool is_whole = end != std::string_view::npos && end < room;
        size_t take = is_whole ? end + 1 : std::min(room, bytes.size());
        partial.append(bytes.substr(0, take));
        bytes.remove_prefix(take);
        if (!is_whole && partial.size() < kMaxRecord) break;
        record.text = std::exchange(partial, {});
        format_log_record(records, record);
    }
    if (!records.empty()) write_records(records);
}

void LogFile::flush(std::chrono::system_clock::time_point when) {
    std::string records;
    for (Stream stream : {Stream::out, Stream::err}) {
        std::string& partial = partial_[stream == Stream::out ? 0 : 1];
        if (partial.empty()) continue;
        format_log_record(records, {stream, std::exchange(partial, {}), format_timestamp(when)});
    }
    if (!records.empty()) write_records(records);
}

void LogFile::write_records(const std::string& records) {
    if (settings_.max_size > 0 && size_ > 0 && size_ + records.size() > settings_.max_size)
        rotate();
    auto written = write_all(file_.get(), records);
    if (!written) {
        if (!std::exchange(is_failing_, true))
            log::error("write the container's log " + settings_.path + ": " +
                       written.error().to_string());
        return;
    }
    is_failing_ = false;
    size_ += records.size();
}

void LogFile::rotate() {
    for (uint32_t i = settings_.max_files > 0 ? settings_.max_files - 1 : 0; i > 0; i--) {
        std::string older = settings_.path + "." + std::to_string(i);
        std::string newer = i == 1 ? settings_.path : settings_.path + "." + std::to_string(i - 1);
        ::rename(newer.c_str(), older.c_str());
    }
    auto file =
        open_path(settings_.path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW, 0600);
    if (!file) {
        if (!std::exchange(is_failing_, true))
            log::error("rotate the container's log: " + file.error().to_string());
        return;
    }
    file_ = std::move(*file);
    size_ = 0;
}

}  // namespace hull::monitor
