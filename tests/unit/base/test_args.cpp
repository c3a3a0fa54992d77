#include <array>

#include <doctest/doctest.h>

#include "base/args.hpp"

using namespace hull;

namespace {
constexpr std::array kOptions{OptionSpec{"bundle", 'b', "DIR", "path of the bundle"},
                              OptionSpec{"detach", 'd', "", "do not wait"},
                              OptionSpec{"tty", 't', "", "terminal"}};
}

TEST_CASE("options are read in every form runc and crun take") {
    std::vector<std::string> args{"-dt", "--bundle=/x", "-b", "/y", "-bundle",
                                  "/z",  "id",          "--", "-q"};
    auto parsed = parse_args(args, kOptions);
    REQUIRE(parsed);
    CHECK(parsed->has("detach"));
    CHECK(parsed->has("tty"));
    CHECK(parsed->all("bundle") == std::vector<std::string>{"/x", "/y", "/z"});
    CHECK(parsed->positionals == std::vector<std::string>{"id", "-q"});
}

TEST_CASE("a user's command line is left alone") {
    std::vector<std::string> args{"-d", "id", "ls", "-l", "--", "x"};
    auto parsed = parse_args(args, kOptions, {.stop_after_positionals = 1});
    REQUIRE(parsed);
    CHECK(parsed->positionals == std::vector<std::string>{"id", "ls", "-l", "--", "x"});
}

TEST_CASE("an unknown option names its neighbour") {
    std::vector<std::string> args{"--bundel"};
    CHECK(parse_args(args, kOptions).error().to_string() ==
          "unknown option --bundel (did you mean --bundle?)");
    args = {"--bundle"};
    CHECK(parse_args(args, kOptions).error().message == "option --bundle needs a value");
    args = {"-d=x"};
    CHECK_FALSE(parse_args(args, kOptions));
}
