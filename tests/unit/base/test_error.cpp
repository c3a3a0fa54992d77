#include <cerrno>

#include <doctest/doctest.h>

#include "base/error.hpp"
#include "base/result.hpp"

using namespace hull;

TEST_CASE("an error reads outer to inner, ends with the cause and the hint, and is one line") {
    Error error = errno_error(ENOENT, "open /x\ny", "create it");
    error = std::move(error).with_context("load state").with_context("start c1");
    CHECK(error.to_string() ==
          "start c1: load state: open /x y: no such file or directory (create it)");
    CHECK(error.code == Errc::not_found);
}

TEST_CASE("an error survives encoding") {
    Error error = errno_error(EPERM, "mount proc", "use a user namespace");
    error = std::move(error).with_context("create c1");
    auto back = decode_error(encode_error(error));
    REQUIRE(back);
    CHECK(back->to_string() == error.to_string());
    CHECK(back->code == Errc::denied);
    CHECK(back->sys_errno == EPERM);
}

TEST_CASE("bytes that are no error are refused") {
    CHECK_FALSE(decode_error(""));
    CHECK_FALSE(decode_error("hull-error"));
    CHECK_FALSE(decode_error(std::string_view{"hull-error\0nonsense\0001\0m\0h", 26}));
    CHECK_FALSE(decode_error(std::string_view{"hull-error\0io\0001x\0m\0h", 21}));
}

namespace {
Result<int> half(int n) {
    if (n % 2 != 0) return fail(Errc::invalid, "odd");
    return n / 2;
}
Result<int> quarter(int n) {
    return TRY(half(TRY(half(n))));
}
}  // namespace

TEST_CASE("TRY passes values on and returns errors") {
    CHECK(*quarter(8) == 2);
    CHECK(quarter(6).error().message == "odd");
}
