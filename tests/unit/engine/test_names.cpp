#include <doctest/doctest.h>

#include "engine/engine.hpp"

using namespace hull;
using namespace hull::engine;

TEST_CASE("ids are 64 digits and differ") {
    auto one = create_container_id();
    CHECK(one.size() == 64);
    CHECK(one.find_first_not_of("0123456789abcdef") == std::string::npos);
    CHECK(one != create_container_id());
}

TEST_CASE("made-up names obey the rule for names") {
    for (int i = 0; i < 100; i++)
        CHECK(check_name(create_container_name(), "name"));
    for (const char* bad : {"", "-x", ".x", "a b", "a/b", "ä"})
        CHECK_MESSAGE(!check_name(bad, "name"), bad);
    CHECK(check_name("web-1.a_B", "name"));
    CHECK_FALSE(check_name(std::string(256, 'a'), "name"));
}

TEST_CASE("a runtime's words decide between 126, 127 and 125") {
    auto code = [](const char* text) {
        return exit_code_of_failure(make_error(Errc::internal, text));
    };
    CHECK(code("exec: \"x\": executable file not found in $PATH") == 127);
    CHECK(code("stat /nope: no such file or directory") == 127);
    CHECK(code("exec /etc/passwd: permission denied") == 126);
    CHECK(code("exec /bin: is a directory") == 126);
    CHECK(code("mounts[3]: no space left on device") == 125);
}
