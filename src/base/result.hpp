#pragma once

#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

#include "base/error.hpp"

namespace hull {

/// What a fallible function returns: a value or an Error. `return fail(...)` makes the latter.
template <typename T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(Error error) {
    return tl::unexpected<Error>(std::move(error));
}
inline tl::unexpected<Error> fail(Errc code, std::string message, std::string hint = {}) {
    return fail(make_error(code, std::move(message), std::move(hint)));
}
/// Failure of a system call: pass errno first, before anything can change it.
inline tl::unexpected<Error> fail_errno(int sys_errno, std::string message, std::string hint = {}) {
    return fail(errno_error(sys_errno, std::move(message), std::move(hint)));
}

/// Adds the outer operation to an error on its way up: `TRY(with_context(load(path), "load
/// state"))`.
template <typename T>
Result<T> with_context(Result<T> result, std::string outer) {
    if (!result) return fail(std::move(result).error().with_context(std::move(outer)));
    return result;
}

namespace detail {
template <typename T>
T take(Result<T>& result) {
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}
}  // namespace detail

}  // namespace hull

/// The value of a Result, or return its error from this function.
#define TRY(expression) HULL_TRY_NAMED(HULL_CONCAT(hull_try_result_, __COUNTER__), expression)
// Nested uses need names of their own (-Wshadow).
#define HULL_CONCAT(a, b) HULL_CONCAT_EXPANDED(a, b)
#define HULL_CONCAT_EXPANDED(a, b) a##b
#define HULL_TRY_NAMED(name, expression)                  \
    __extension__({                                       \
        auto name = (expression);                         \
        if (!name) [[unlikely]]                           \
            return ::hull::fail(std::move(name).error()); \
        ::hull::detail::take(name);                       \
    })
