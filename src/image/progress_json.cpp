#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <mutex>
#include <vector>

#include "base/fd.hpp"
#include "base/json_io.hpp"
#include "base/printable.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "image/progress.hpp"

namespace hull::image {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kRedrawEvery{100};

struct Item {
    std::string label;
    uint64_t total = 0;
    uint64_t done = 0;
    std::string outcome;  ///< empty while it runs
    Clock::time_point begun = Clock::now();
    Clock::time_point told{};
    std::chrono::nanoseconds took{};

    std::string rate() const {
        auto elapsed = outcome.empty() ? Clock::now() - begun : took;
        double seconds = std::chrono::duration<double>(elapsed).count();
        if (done == 0 || seconds <= 0) return "";
        return format_bytes({static_cast<uint64_t>(static_cast<double>(done) / seconds)}) + "/s";
    }
};

/// Keeps the items; subclasses show them. All calls are under one lock.
class Board : public registry::Progress {
  public:
    explicit Board(int fd) : fd_(fd) {}

    int begin(std::string label, uint64_t total) final {
        std::lock_guard lock{mutex_};
        items_.push_back({printable_line(label), total});
        on_begin(items_.back());
        return static_cast<int>(items_.size()) - 1;
    }
    void advance(int item, uint64_t bytes_done) final {
        std::lock_guard lock{mutex_};
        Item& it = items_[static_cast<size_t>(item)];
        it.done = bytes_done;
        if (Clock::now() - it.told < kRedrawEvery) return;
        it.told = Clock::now();
        on_advance(it);
    }
    void finish(int item, std::string_view outcome) final {
        std::lock_guard lock{mutex_};
        Item& it = items_[static_cast<size_t>(item)];
        it.took = Clock::now() - it.begun;
        it.outcome = outcome;
        on_finish(it);
    }
    void account(const layer::PhaseTimes& times) final {
        std::lock_guard lock{mutex_};
        times_ += times;
    }
    void note(std::string_view text) final {
        std::lock_guard lock{mutex_};
        on_note(printable_line(text));
    }

  protected:
    virtual void on_begin(const Item& item) = 0;
    virtual void on_advance(const Item& item) = 0;
    virtual void on_finish(const Item& item) = 0;
    virtual void on_note(std::string_view text) = 0;
    /// A stderr that is gone must not fail the transfer.
    void print(std::string_view text) const { (void)write_all(fd_, text); }
    int fd() const { return fd_; }
    const std::vector<Item>& items() const { return items_; }
    const layer::PhaseTimes& times() const { return times_; }

  private:
    int fd_;
    std::mutex mutex_;
    std::vector<Item> items_;
    layer::PhaseTimes times_;
};

class PlainProgress final : public Board {
  public:
    using Board::Board;

  private:
    void on_begin(const Item& /*item*/) override {}
    void on_advance(const Item& /*item*/) override {}
    void on_finish(const Item& item) override {
        std::string line = printable_line(item.label + ": " + item.outcome);
        if (item.done > 0)
            line += ", " + format_bytes({item.done}) + " in " + format_duration(item.took);
        print(line + "\n");
    }
    void on_note(std::string_view text) override { print(printable_line(text) + "\n"); }
};

class JsonProgress final : public Board {
  public:
    using Board::Board;
    ~JsonProgress() override {
        if (times().fetch > std::chrono::nanoseconds{}) tell_phases();
    }

  private:
    void on_begin(const Item& item) override { tell("begin", item); }
    void on_advance(const Item& item) override { tell("progress", item); }
    void on_finish(const Item& item) override { tell("end", item); }
    void on_note(std::string_view text) override {
        print(dump_json(Json{{"event", "note"}, {"text", std::string{text}}}) + "\n");
    }
    void tell(const char* event, const Item& item) const {
        Json line = {{"event", event}, {"item", item.label}, {"total", item.total}};
        line["current"] = item.done;
        if (!item.outcome.empty()) line["outcome"] = item.outcome;
        print(dump_json(line) + "\n");
    }

    /// Where the CPU time of unpacked layers went, and the process's other time.
    void tell_phases() const {
        auto seconds = [](std::chrono::nanoseconds time) {
            return std::chrono::duration<double>(time).count();
        };
        const layer::PhaseTimes& spent = times();
        timespec time{};
        ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
        auto all = std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
        auto known = spent.fetch + spent.hash_blob + spent.store_blob + spent.decompress +
                     spent.hash_archive + spent.write_files;
        Json phases = {{"fetch", seconds(spent.fetch)},
                       {"hash_blob", seconds(spent.hash_blob)},
                       {"store_blob", seconds(spent.store_blob)},
                       {"decompress", seconds(spent.decompress)},
                       {"hash_archive", seconds(spent.hash_archive)},
                       {"write_files", seconds(spent.write_files)},
                       {"other", seconds(all - known)}};
        print(dump_json(Json{{"event", "phases"}, {"cpu_seconds", phases}}) + "\n");
    }
};

/// A block of lines at the bottom of the terminal: one for each running item; what is finished
/// scrolls away above it.
class TerminalProgress final : public Board {
  public:
    using Board::Board;
    ~TerminalProgress() override { print(erase()); }

  private:
    void on_begin(const Item& /*item*/) override { redraw({}); }
    void on_advance(const Item& /*item*/) override {
        if (Clock::now() - drawn_ >= kRedrawEvery) redraw({});
    }
    void on_finish(const Item& item) override { redraw(line_of(item)); }
    void on_note(std::string_view text) override { redraw(printable_line(text)); }

    std::string erase() const {
        std::string out;
        for (size_t i = 0; i < lines_; ++i)
            out += "\x1b[1A\x1b[2K";
        return out;
    }

    size_t width() const {
        winsize size{};
        bool known = ::ioctl(fd(), TIOCGWINSZ, &size) == 0 && size.ws_col > 20;
        return known ? size.ws_col - 1U : 79U;
    }

    std::string line_of(const Item& item) const {
        constexpr size_t kBar = 28;
        std::string out = printable_line(item.label);
        out.resize(std::max<size_t>(out.size(), 19), ' ');
        if (!item.outcome.empty()) {
            out += " " + printable_line(item.outcome);
            if (item.done > 0) out += "  " + format_bytes({item.done}) + "  " + item.rate();
        } else {
            uint64_t total = std::max<uint64_t>(item.total, 1);
            auto filled = static_cast<size_t>(std::min(item.done, total) * kBar / total);
            out += " [" + std::string(filled, '=') + (filled < kBar ? ">" : "");
            out += std::string(kBar - std::min(kBar, filled + 1), ' ') + "] ";
            out +=
                format_bytes({item.done}) + "/" + format_bytes({item.total}) + "  " + item.rate();
        }
        if (out.size() > width()) out.resize(width());
        return out;
    }

    void redraw(const std::string& above) {
        std::string out = erase();
        if (!above.empty()) out += above + "\n";
        lines_ = 0;
        for (const auto& item : items()) {
            if (!item.outcome.empty()) continue;
            out += line_of(item) + "\n";
            ++lines_;
        }
        drawn_ = Clock::now();
        print(out);
    }

    size_t lines_ = 0;
    Clock::time_point drawn_{};
};

class NoProgress final : public registry::Progress {
  public:
    int begin(std::string /*label*/, uint64_t /*total*/) override { return 0; }
    void advance(int /*item*/, uint64_t /*bytes_done*/) override {}
    void finish(int /*item*/, std::string_view /*outcome*/) override {}
    void note(std::string_view /*text*/) override {}
    void account(const layer::PhaseTimes& /*times*/) override {}
};

}  // namespace

Result<ProgressMode> parse_progress_mode(const std::string& text) {
    if (text.empty() || text == "auto") return ProgressMode::automatic;
    if (text == "tty") return ProgressMode::tty;
    if (text == "plain") return ProgressMode::plain;
    if (text == "json") return ProgressMode::json;
    if (text == "none" || text == "quiet") return ProgressMode::none;
    return fail(Errc::invalid, "--progress " + quote(text) + ": unknown",
                "one of auto, tty, plain, json, none");
}

std::unique_ptr<registry::Progress> create_progress(ProgressMode mode, int fd) {
    if (mode == ProgressMode::automatic)
        mode = ::isatty(fd) == 1 ? ProgressMode::tty : ProgressMode::plain;
    if (mode == ProgressMode::tty) return std::make_unique<TerminalProgress>(fd);
    if (mode == ProgressMode::json) return std::make_unique<JsonProgress>(fd);
    if (mode == ProgressMode::none) return std::make_unique<NoProgress>();
    return std::make_unique<PlainProgress>(fd);
}

}  // namespace hull::image
