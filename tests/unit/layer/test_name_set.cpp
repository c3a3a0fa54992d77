#include <string>

#include <doctest/doctest.h>

#include "layer/name_set.hpp"

using hull::layer::NameSet;

TEST_CASE("a set of names knows what it was given, and little memory holds many") {
    NameSet names;
    CHECK_FALSE(names.contains(""));
    auto name = [](int i) { return std::string(100, 'x') + std::to_string(i); };
    for (int round = 0; round < 2; ++round)  // the same names twice take no more room
        for (int i = 0; i < 500'000; ++i)
            names.insert(name(i));
    for (int i = 0; i < 500'000; ++i)
        REQUIRE(names.contains(name(i)));
    for (int i = 500'000; i < 600'000; ++i)
        REQUIRE_FALSE(names.contains(name(i)));
    CHECK(names.memory() <= (16U << 20U));
}
