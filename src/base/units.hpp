#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace hull {

/// A number of bytes.
struct Bytes {
    uint64_t value = 0;
    auto operator<=>(const Bytes&) const = default;
};

/// Docker's notation: "512", "512b", "64k", "1.5g", "2GiB"; powers of 1024.
/// @errors invalid: not of that form, or over 2^63-1.
Result<Bytes> parse_bytes(std::string_view text);
/// "1.5 GiB", "12 KiB", "7 B": at most one decimal.
std::string format_bytes(Bytes size);

/// Go's notation: "1h2m3s", "250ms", "1.5s"; a bare number is seconds.
Result<std::chrono::nanoseconds> parse_duration(std::string_view text);
/// "6.5 ms", "1.2 s", "3 minutes": for people.
std::string format_duration(std::chrono::nanoseconds duration);

/// RFC 3339 in UTC with nanoseconds: "2026-01-02T03:04:05.000000006Z".
std::string format_timestamp(std::chrono::system_clock::time_point when);
/// @errors invalid: not RFC 3339.
Result<std::chrono::system_clock::time_point> parse_timestamp(std::string_view text);

}  // namespace hull
