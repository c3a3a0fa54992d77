#include "base/units.hpp"

#include <array>
#include <cctype>
#include <cstdio>
#include <ctime>
#include <limits>

#include "base/text.hpp"

namespace hull {
namespace {

/// A decimal number such as "1.5" at the start of `text`, which is moved behind it.
bool take_decimal(std::string_view& text, double& value) {
    size_t length = 0;
    while (length < text.size() &&
           (std::isdigit(static_cast<unsigned char>(text[length])) != 0 || text[length] == '.'))
        ++length;
    auto digits = text.substr(0, length);
    auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value,
                                         std::chars_format::fixed);
    if (failed != std::errc{} || end != digits.data() + digits.size()) return false;
    text.remove_prefix(length);
    return true;
}

struct Unit {
    std::string_view suffix;
    double factor;
};

}  // namespace

Result<Bytes> parse_bytes(std::string_view text) {
    constexpr std::array<Unit, 6> kUnits{{{"", 1},
                                          {"k", 1024.0},
                                          {"m", 1024.0 * 1024},
                                          {"g", 1024.0 * 1024 * 1024},
                                          {"t", 1099511627776.0},
                                          {"p", 1125899906842624.0}}};
    auto invalid = [&] {
        return fail(Errc::invalid, "size " + quote(text) + " is not a number of bytes",
                    "write it as 512, 64k, 100m or 1.5g");
    };
    if (auto whole = parse_number<uint64_t>(text)) {
        if (*whole > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return invalid();
        return Bytes{*whole};
    }
    auto rest = text;
    double number = 0;
    if (!take_decimal(rest, number)) return invalid();
    std::string suffix;
    for (char c : rest)
        suffix += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    if (suffix.ends_with("ib"))
        suffix.resize(suffix.size() - 2);
    else if (suffix.ends_with("b"))
        suffix.resize(suffix.size() - 1);
    for (const auto& unit : kUnits) {
        if (unit.suffix != suffix) continue;
        double total = number * unit.factor;
        if (total >= static_cast<double>(std::numeric_limits<int64_t>::max())) return invalid();
        return Bytes{static_cast<uint64_t>(total)};
    }
    return invalid();
}

std::string format_bytes(Bytes size) {
    constexpr std::array<const char*, 6> kNames{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto value = static_cast<double>(size.value);
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < kNames.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
                  kNames[unit]);
    return out.data();
}

Result<std::chrono::nanoseconds> parse_duration(std::string_view text) {
    constexpr std::array<Unit, 7> kUnits{
        {{"ns", 1}, {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}}};
    auto invalid = [&] {
        return fail(Errc::invalid, "duration " + quote(text) + " cannot be read",
                    "write it as 10, 250ms, 1.5s or 1h30m");
    };
    if (auto seconds = parse_number<uint32_t>(text)) return std::chrono::seconds{*seconds};
    double total = 0;
    auto rest = text;
    if (rest.empty()) return invalid();
    while (!rest.empty()) {
        double number = 0;
        if (!take_decimal(rest, number)) return invalid();
        size_t length = 0;
        while (length < rest.size() && std::isdigit(static_cast<unsigned char>(rest[length])) == 0)
            ++length;
        auto name = rest.substr(0, length);
        rest.remove_prefix(length);
        const Unit* found = nullptr;
        for (const auto& unit : kUnits)
            if (unit.suffix == name) found = &unit;
        if (found == nullptr) return invalid();
        total += number * found->factor;
    }
    if (total >= 9.2e18) return invalid();
    return std::chrono::nanoseconds{static_cast<int64_t>(total)};
}

std::string format_duration(std::chrono::nanoseconds duration) {
    std::array<char, 48> out{};
    auto ns = static_cast<double>(duration.count());
    if (ns < 1e6)
        std::snprintf(out.data(), out.size(), "%.0f µs", ns / 1e3);
    else if (ns < 1e9)
        std::snprintf(out.data(), out.size(), "%.1f ms", ns / 1e6);
    else if (ns < 120e9)
        std::snprintf(out.data(), out.size(), "%.1f s", ns / 1e9);
    else if (ns < 7200e9)
        std::snprintf(out.data(), out.size(), "%.0f minutes", ns / 60e9);
    else if (ns < 48 * 3600e9)
        std::snprintf(out.data(), out.size(), "%.0f hours", ns / 3600e9);
    else
        std::snprintf(out.data(), out.size(), "%.0f days", ns / (24 * 3600e9));
    return out.data();
}

std::string format_timestamp(std::chrono::system_clock::time_point when) {
    auto ns = std::chrono::duration_cast<std::chrono::nanoseconds>(when.time_since_epoch()).count();
    auto seconds = static_cast<time_t>(ns / 1'000'000'000);
    auto rest = static_cast<long>(ns % 1'000'000'000);
    if (rest < 0) {
        rest += 1'000'000'000;
        --seconds;
    }
    // Not gmtime_r(3), which reads /etc/localtime.
    const std::chrono::sys_seconds instant{std::chrono::seconds{seconds}};
    const auto day = std::chrono::floor<std::chrono::days>(instant);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss time{instant - day};
    std::array<char, 80> out{};
    std::snprintf(out.data(), out.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%09ldZ",
                  static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                  static_cast<unsigned>(date.day()), static_cast<int>(time.hours().count()),
                  static_cast<int>(time.minutes().count()),
                  static_cast<int>(time.seconds().count()), rest);
    return out.data();
}

namespace {

/// `count` digits of `text`, which is moved behind them.
bool take_digits(std::string_view& text, size_t count, int& value) {
    if (text.size() < count) return false;
    auto number = parse_number<unsigned>(text.substr(0, count));
    if (!number) return false;
    value = static_cast<int>(*number);
    text.remove_prefix(count);
    return true;
}

bool take_char(std::string_view& text, std::string_view allowed, char* which = nullptr) {
    if (text.empty() || allowed.find(text.front()) == std::string_view::npos) return false;
    if (which != nullptr) *which = text.front();
    text.remove_prefix(1);
    return true;
}

}  // namespace

Result<std::chrono::system_clock::time_point> parse_timestamp(std::string_view text) {
    auto invalid = [&] { return fail(Errc::invalid, quote(text) + " is not an RFC 3339 time"); };
    auto rest = text;
    std::tm parts{};
    if (!take_digits(rest, 4, parts.tm_year) || !take_char(rest, "-") ||
        !take_digits(rest, 2, parts.tm_mon) || !take_char(rest, "-") ||
        !take_digits(rest, 2, parts.tm_mday) || !take_char(rest, "Tt ") ||
        !take_digits(rest, 2, parts.tm_hour) || !take_char(rest, ":") ||
        !take_digits(rest, 2, parts.tm_min) || !take_char(rest, ":") ||
        !take_digits(rest, 2, parts.tm_sec))
        return invalid();
    if (parts.tm_mon < 1 || parts.tm_mon > 12 || parts.tm_mday < 1 || parts.tm_mday > 31 ||
        parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60)
        return invalid();
    parts.tm_year -= 1900;
    parts.tm_mon -= 1;
    int64_t nanoseconds = 0;
    if (take_char(rest, ".")) {
        int64_t scale = 100'000'000;
        size_t digits = 0;
        while (!rest.empty() && rest.front() >= '0' && rest.front() <= '9') {
            nanoseconds += (rest.front() - '0') * scale;
            scale /= 10;
            rest.remove_prefix(1);
            ++digits;
        }
        if (digits == 0) return invalid();
    }
    int64_t offset_seconds = 0;
    char sign = 0;
    if (!take_char(rest, "Zz")) {
        int hours = 0;
        int minutes = 0;
        if (!take_char(rest, "+-", &sign) || !take_digits(rest, 2, hours) ||
            !take_char(rest, ":") || !take_digits(rest, 2, minutes))
            return invalid();
        offset_seconds = (int64_t{hours} * 3600 + int64_t{minutes} * 60) * (sign == '-' ? -1 : 1);
    }
    if (!rest.empty()) return invalid();
    int64_t seconds = timegm(&parts) - offset_seconds;
    // Outside what 64-bit nanoseconds can hold (years 1678 to 2261).
    if (seconds > 9'200'000'000 || seconds < -9'200'000'000) return invalid();
    return std::chrono::system_clock::time_point{
        std::chrono::duration_cast<std::chrono::system_clock::duration>(
            std::chrono::seconds{seconds} + std::chrono::nanoseconds{nanoseconds})};
}

}  // namespace hull
