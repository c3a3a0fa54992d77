#include "base/error.hpp"

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "base/printable.hpp"

namespace hull {
namespace {

struct ErrcRow {
    Errc code;
    std::string_view name;
    int http_status;
};

constexpr std::array kErrcTable{
    ErrcRow{Errc::invalid, "invalid", 400},   ErrcRow{Errc::not_found, "not_found", 404},
    ErrcRow{Errc::exists, "exists", 409},     ErrcRow{Errc::conflict, "conflict", 409},
    ErrcRow{Errc::denied, "denied", 403},     ErrcRow{Errc::unsupported, "unsupported", 501},
    ErrcRow{Errc::timeout, "timeout", 504},   ErrcRow{Errc::cancelled, "cancelled", 499},
    ErrcRow{Errc::corrupt, "corrupt", 500},   ErrcRow{Errc::io, "io", 500},
    ErrcRow{Errc::internal, "internal", 500},
};

}  // namespace

std::string_view errc_name(Errc code) {
    for (const auto& row : kErrcTable)
        if (row.code == code) return row.name;
    return "internal";
}

std::optional<Errc> parse_errc(std::string_view name) {
    for (const auto& row : kErrcTable)
        if (row.name == name) return row.code;
    return std::nullopt;
}

int to_http_status(Errc code) {
    for (const auto& row : kErrcTable)
        if (row.code == code) return row.http_status;
    return 500;
}

Errc errc_from_errno(int sys_errno) {
    switch (sys_errno) {
        case ENOENT:
        case ESRCH:
        case ENXIO:
        case ENODEV:
            return Errc::not_found;
        case EPERM:
        case EACCES:
        case EROFS:
            return Errc::denied;
        case ENOSYS:
        case EOPNOTSUPP:
            return Errc::unsupported;
        case EEXIST:
            return Errc::exists;
        case EBUSY:
        case ENOTEMPTY:
            return Errc::conflict;
        case EINVAL:
        case ENAMETOOLONG:
        case ELOOP:
        case ENOTDIR:
        case EXDEV:
            return Errc::invalid;
        case ETIMEDOUT:
            return Errc::timeout;
        case ECANCELED:
            return Errc::cancelled;
        default:
            return Errc::io;
    }
}

Error make_error(Errc code, std::string message, std::string hint) {
    return Error{code, 0, std::move(message), {}, std::move(hint)};
}

Error errno_error(int sys_errno, std::string message, std::string hint) {
    return Error{errc_from_errno(sys_errno), sys_errno, std::move(message), {}, std::move(hint)};
}

Error Error::with_context(std::string outer) && {
    context.push_back(std::move(outer));
    return std::move(*this);
}

Error Error::with_hint(std::string what_to_do) && {
    if (hint.empty()) hint = std::move(what_to_do);
    return std::move(*this);
}

std::string Error::to_string_without_hint() const {
    std::string out;
    for (auto outer = context.rbegin(); outer != context.rend(); ++outer) {
        out += printable_line(*outer);
        out += ": ";
    }
    out += printable_line(message);
    if (sys_errno != 0) {
        // Engines parse these words (docker: "no such file or directory", "permission denied"), so
        // they are written as Go and runc write them: first letter small.
        std::string cause =
            strerrordesc_np(sys_errno) ? strerrordesc_np(sys_errno) : "unknown error";
        if (cause.size() > 1 && cause[1] >= 'a' && cause[1] <= 'z' && cause[0] >= 'A' &&
            cause[0] <= 'Z')
            cause[0] = static_cast<char>(cause[0] - 'A' + 'a');
        out += ": " + cause;
    }
    return out;
}

std::string Error::to_string() const {
    std::string out = to_string_without_hint();
    if (!hint.empty()) {
        out += " (" + printable_line(hint) + ")";
    }
    return out;
}

std::string encode_error(const Error& error) {
    std::string out{"hull-error"};
    auto add = [&out](std::string_view field) {
        out += '\0';
        for (char c : field)
            out += c == '\0' ? ' ' : c;
    };
    add(errc_name(error.code));
    add(std::to_string(error.sys_errno));
    add(error.message);
    add(error.hint);
    for (const auto& outer : error.context)
        add(outer);
    return out;
}

std::optional<Error> decode_error(std::string_view bytes) {
    std::vector<std::string> fields;
    size_t start = 0;
    for (size_t i = 0; i <= bytes.size(); ++i) {
        if (i == bytes.size() || bytes[i] == '\0') {
            fields.emplace_back(bytes.substr(start, i - start));
            start = i + 1;
        }
    }
    if (fields.size() < 5 || fields[0] != "hull-error") return std::nullopt;
    auto code = parse_errc(fields[1]);
    if (!code) return std::nullopt;
    Error error;
    error.code = *code;
    const auto& number = fields[2];
    auto [end, failed] =
        std::from_chars(number.data(), number.data() + number.size(), error.sys_errno);
    if (failed != std::errc{} || end != number.data() + number.size()) return std::nullopt;
    error.message = fields[3];
    error.hint = fields[4];
    error.context.assign(fields.begin() + 5, fields.end());
    return error;
}

}  // namespace hull
