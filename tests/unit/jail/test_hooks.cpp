#include <unistd.h>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "jail/hooks.hpp"

namespace hull::jail {
namespace {

HookPlan shell(const std::string& script) {
    return {.path = "/bin/sh", .args = {"sh", "-c", script}};
}

TEST_CASE("a hook gets the state on stdin and only its own environment") {
    const std::string file = "/tmp/hull-unit-hook-" + std::to_string(::getpid());
    auto hook = shell("cat > " + file + "; echo \"$COLOUR$HOME\" >> " + file);
    hook.environment = {"COLOUR=blue", "PATH=/usr/bin:/bin"};
    REQUIRE(run_hooks({hook}, {.stage = "createContainer", .state = "{\"id\":\"x\"}"}));
    const auto text = read_file(file);
    ::unlink(file.c_str());
    REQUIRE(text);
    CHECK(*text == "{\"id\":\"x\"}blue\n");
}

TEST_CASE("a failing hook is named with its stage, its status and its last words") {
    const auto done = run_hooks({shell("exit 0"), shell("echo no luck >&2; exit 3")},
                                {.stage = "startContainer", .state = "{}"});
    REQUIRE_FALSE(done);
    const auto text = done.error().to_string();
    CHECK(text.find("startContainer hook 1 (/bin/sh)") != std::string::npos);
    CHECK(text.find("status 3") != std::string::npos);
    CHECK(text.find("no luck") != std::string::npos);
}

TEST_CASE("a hook that outlives its timeout is killed with what it started") {
    auto hook = shell("sleep 1000 & sleep 1000");
    hook.environment = {"PATH=/usr/bin:/bin"};
    hook.timeout_seconds = 1;
    const auto done = run_hooks({hook}, {.stage = "createContainer", .state = "{}"});
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::timeout);
}

TEST_CASE("a hook that does not exist is not found") {
    const auto done =
        run_hooks({{.path = "/nowhere/hook"}}, {.stage = "createContainer", .state = "{}"});
    REQUIRE_FALSE(done);
    CHECK(done.error().code == Errc::not_found);
}

TEST_CASE("a hook that does not read its state is no failure") {
    REQUIRE(run_hooks({shell("exec 0<&-; exit 0")},
                      {.stage = "createContainer", .state = std::string(200000, ' ')}));
}

}  // namespace
}  // namespace hull::jail
