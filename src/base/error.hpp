#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hull {

/// Why something failed, as a closed list: callers decide by this, people read the message.
enum class Errc {
    invalid,      ///< the input is wrong: a flag, a field, a name
    not_found,    ///< what was named does not exist
    exists,       ///< what should be made is there already
    conflict,     ///< the thing is in a state that does not allow this
    denied,       ///< permission is lacking, or a policy refuses
    unsupported,  ///< this kernel, machine or version cannot do it
    timeout,      ///< it took longer than allowed
    cancelled,    ///< the caller gave up
    corrupt,      ///< stored or received data is not what it claims to be
    io,           ///< reading, writing or the network failed
    internal,     ///< a defect of hull
};

/// One failure: what was attempted on what, why, and what the user can do about it.
struct Error {
    Errc code = Errc::internal;
    int sys_errno = 0;                 ///< errno(3) of the cause, 0 when no system call failed
    std::string message;               ///< operation, path or field, cause
    std::vector<std::string> context;  ///< outer operations, innermost first
    std::string hint;                  ///< what to do; may be empty

    /// "outer: inner: message: Permission denied (hint)", always one line.
    std::string to_string() const;
    /// As to_string(), without the hint.
    std::string to_string_without_hint() const;

    Error with_context(std::string outer) &&;
    Error with_hint(std::string what_to_do) &&;
};

Error make_error(Errc code, std::string message, std::string hint = {});

/// An error from errno(3). `code` follows from the errno: ENOENT is not_found, EPERM and EACCES
/// denied, ENOSYS and EOPNOTSUPP unsupported, EEXIST exists, EBUSY conflict, EINVAL invalid,
/// others io.
Error errno_error(int sys_errno, std::string message, std::string hint = {});

std::string_view errc_name(Errc code);
std::optional<Errc> parse_errc(std::string_view name);
Errc errc_from_errno(int sys_errno);

int to_http_status(Errc code);

/// Exit code of the program that failed before a container's process ran: each binary has one
/// (`hull` 125, `hull-runtime` 1); see the main() files.
inline constexpr int kHullFailed = 125;
inline constexpr int kRuntimeFailed = 1;

/// Serialises an error for a socket or pipe. Text only, no NUL inside fields.
std::string encode_error(const Error& error);
/// Inverse of encode_error(); nullopt when `bytes` is not one.
std::optional<Error> decode_error(std::string_view bytes);

}  // namespace hull
