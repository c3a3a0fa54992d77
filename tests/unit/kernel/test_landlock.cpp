#include <doctest/doctest.h>

#include "kernel/landlock.hpp"

using namespace hull::kernel;

TEST_CASE("what a kernel's Landlock lacks is named with the kernel that has it") {
    const LandlockSettings asked{.handled_files = kLandlockAll,
                                 .handled_ports = kLandlockBindTcp,
                                 .scopes = kLandlockScopeSignal};
    CHECK(missing_in_landlock(asked, asked).empty());
    // Linux 6.1, ABI 2.
    CHECK(missing_in_landlock(asked, {.handled_files = 0x3FFF}) ==
          "truncate (Linux 6.2), TCP ports (Linux 6.7), ioctls of devices (Linux 6.10), "
          "scopes (Linux 6.12)");
    CHECK(missing_in_landlock({.scopes = kLandlockScopeSignal}, {}) == "scopes (Linux 6.12)");
}

TEST_CASE("renames that ABI 1 always refuses are not missing") {
    const auto refer = bits(LandlockAccess::refer);
    CHECK(missing_in_landlock({.handled_files = refer}, {}).empty());
}
