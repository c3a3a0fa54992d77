// logs: what a container wrote, from its log file, and on as it grows.

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <deque>
#include <optional>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "cli/options.hpp"
#include "cli/output.hpp"
#include "cli/verbs.hpp"
#include "engine/engine.hpp"
#include "monitor/log_file.hpp"

namespace hull::cli {

using engine::Engine;
using monitor::LogRecord;
using TimePoint = std::chrono::system_clock::time_point;

namespace {

struct Selection {
    std::optional<TimePoint> since;
    std::optional<TimePoint> until;
    std::optional<size_t> tail;
    bool timestamps = false;
};

Result<std::optional<TimePoint>> parse_moment(const std::string& option, const std::string& text) {
    if (text.empty()) return std::nullopt;
    if (auto when = parse_log_moment(text)) return *when;
    auto ago = parse_duration(text);
    if (ago)
        return std::chrono::system_clock::now() -
               std::chrono::duration_cast<std::chrono::system_clock::duration>(*ago);
    return fail(
        Errc::invalid, option + ": " + quote(text) + " is not a time",
        "write it as 2026-01-31T12:30:00Z, as seconds since 1970, or as 10m for ten minutes "
        "ago");
}

Result<Selection> to_selection(const LogsWords& words) {
    Selection out;
    out.since = TRY(parse_moment("--since", words.since));
    out.until = TRY(parse_moment("--until", words.until));
    out.timestamps = words.timestamps;
    if (words.tail != "all") {
        auto lines = parse_number<size_t>(words.tail);
        if (!lines)
            return fail(Errc::invalid, "--tail: " + quote(words.tail) + " is not a number of lines",
                        "write a number, or all");
        out.tail = *lines;
    }
    return out;
}

bool is_selected(const LogRecord& record, const Selection& selection) {
    if (!selection.since && !selection.until) return true;
    auto when = parse_timestamp(record.time);
    if (!when) return true;
    return (!selection.since || *when >= *selection.since) &&
           (!selection.until || *when <= *selection.until);
}

void print_record(const LogRecord& record, const Selection& selection) {
    std::string text = selection.timestamps ? record.time + " " + record.text : record.text;
    (void)write_all(record.stream == monitor::Stream::out ? 1 : 2, text);
}

/// Reads whole lines of a growing file.
class LogTail {
  public:
    explicit LogTail(Fd file) : file_(std::move(file)) {}
    /// Whether the log at `path` has gone on in another file, or this one was emptied.
    bool is_rotated(const std::string& path) const {
        struct stat ours{};
        struct stat there{};
        if (::fstat(file_.get(), &ours) < 0 || ::stat(path.c_str(), &there) < 0) return false;
        return ours.st_ino != there.st_ino || ours.st_size < ::lseek(file_.get(), 0, SEEK_CUR);
    }
    Result<void> reopen(const std::string& path) {
        file_ = TRY(open_path(path, O_RDONLY));
        partial_.clear();
        return {};
    }
    template <typename Visit>
    Result<void> read_new(Visit&& visit) {
        std::array<char, 65536> buffer{};
        while (true) {
            ssize_t got = ::read(file_.get(), buffer.data(), buffer.size());
            if (got < 0 && errno == EINTR) continue;
            if (got < 0) return fail_errno(errno, "read the container's log");
            if (got == 0) return {};
            partial_.append(buffer.data(), static_cast<size_t>(got));
            size_t start = 0;
            for (size_t end = 0; (end = partial_.find('\n', start)) != std::string::npos;
                 start = end + 1) {
                auto record = monitor::parse_log_record(
                    std::string_view(partial_).substr(start, end - start));
                if (record) visit(*record);  // a line that a full disk cut is left out
            }
            partial_.erase(0, start);
        }
    }

  private:
    Fd file_;
    std::string partial_;
};

/// Rotated files, oldest first, then the one in use.
std::vector<std::string> log_files(const std::string& path, uint32_t max_files) {
    std::vector<std::string> out;
    for (uint32_t i = max_files; i > 0; i--)
        if (std::string older = path + "." + std::to_string(i); path_exists(older))
            out.push_back(std::move(older));
    out.push_back(path);
    return out;
}

/// Prints what is selected; with --tail the last lines of all files wait in `last`.
Result<void> read_past(LogTail& tail, const Selection& selection, std::deque<LogRecord>& last) {
    return tail.read_new([&](const LogRecord& record) {
        if (!is_selected(record, selection)) return;
        if (!selection.tail) return print_record(record, selection);
        last.push_back(record);
        if (last.size() > *selection.tail) last.pop_front();
    });
}

/// Until the container's monitor has gone: by then all is written.
Result<void> follow(Engine& engine, const std::string& id, const std::string& path, LogTail& tail,
                    const Selection& selection) {
    auto show = [&](const LogRecord& record) {
        if (is_selected(record, selection)) print_record(record, selection);
    };
    Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch) return fail_errno(errno, "watch the container's log");
    constexpr uint32_t kChanges = IN_MODIFY | IN_MOVE_SELF;
    ::inotify_add_watch(watch.get(), path.c_str(), kChanges);
    auto connection = engine::MonitorConnection::connect(engine.settings().run_directory(id), 0);
    bool runs = connection.has_value();
    while (runs) {
        if (tail.is_rotated(path)) {
            TRY(tail.read_new(show));  // what came in before it was put aside
            TRY(tail.reopen(path));
            ::inotify_add_watch(watch.get(), path.c_str(), kChanges);
        }
        TRY(tail.read_new(show));
        std::array<pollfd, 2> watched{pollfd{watch.get(), POLLIN, 0},
                                      pollfd{connection->fd(), POLLIN, 0}};
        if (::poll(watched.data(), watched.size(), -1) < 0 && errno != EINTR)
            return fail_errno(errno, "wait for the container's log");
        std::array<char, 4096> events{};
        while (::read(watch.get(), events.data(), events.size()) > 0) {
        }
        if (watched[1].revents != 0) runs = TRY(connection->read_more());
    }
    return tail.read_new(show);
}

}  // namespace

int cmd_logs(const GlobalWords& global, const LogsWords& words) {
    auto work = [&]() -> Result<void> {
        auto selection = TRY(to_selection(words));
        auto engine = TRY(Engine::open(global.settings));
        auto found = TRY(engine.view(words.container));
        const auto& record = found.record;
        if (record.config.log_disabled)
            return fail(Errc::conflict, "container " + record.name + " keeps no log",
                        "it was made with --log-driver none");
        std::string path = engine.settings().log_path(record.id);
        std::deque<LogRecord> last;
        std::optional<LogTail> tail;
        for (const auto& file : log_files(path, record.config.log_max_files)) {
            auto opened = open_path(file, O_RDONLY);
            if (!opened && opened.error().code == Errc::not_found) continue;  // never started
            tail.emplace(TRY(std::move(opened)));
            TRY(read_past(*tail, selection, last));
        }
        for (const auto& record_of_last : last)
            print_record(record_of_last, selection);
        if (tail && words.follow && found.state == "running")
            return follow(engine, record.id, path, *tail, selection);
        return {};
    };
    auto done = work();
    if (!done) print_error(done.error());
    return done ? 0 : 1;
}

}  // namespace hull::cli
