#include <doctest/doctest.h>

#include "engine/users.hpp"

using namespace hull;
using namespace hull::engine;

namespace {

constexpr const char* kPasswd =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# comment\n"
    "broken:x:what:0\n"
    "user:x:1000:1000::/home/user:/bin/sh\n"
    "www:x:33:33::/var/www:/bin/false\n";
constexpr const char* kGroup =
    "root:x:0:\nwheel:x:10:root,user\nusers:x:100:user\nwww:x:33:\naudio:x:29:\n";

Result<std::optional<std::string>> read_both(std::string_view path) {
    if (path == "/etc/passwd") return std::string(kPasswd);
    if (path == "/etc/group") return std::string(kGroup);
    return std::nullopt;
}
Result<std::optional<std::string>> read_none(std::string_view) {
    return std::nullopt;
}

using Groups = std::vector<uint32_t>;

}  // namespace

TEST_CASE("no user is root, with root's groups") {
    auto user = resolve_user("", {}, read_both);
    REQUIRE(user);
    CHECK(user->uid == 0);
    CHECK(user->home == "/root");
    CHECK(user->groups == Groups{10});
}

TEST_CASE("a name has the ids, home and groups of its entry") {
    auto user = resolve_user("user", {}, read_both);
    REQUIRE(user);
    CHECK(user->uid == 1000);
    CHECK(user->gid == 1000);
    CHECK(user->home == "/home/user");
    CHECK(user->groups == Groups{10, 100});
}

TEST_CASE("a group that is given replaces the entry's, and others are not added") {
    auto user = resolve_user("user:audio", {}, read_both);
    REQUIRE(user);
    CHECK(user->gid == 29);
    CHECK(user->groups.empty());
    CHECK(resolve_user("1000:50", {}, read_both)->gid == 50);
    CHECK(resolve_user("4242:7", {}, read_none)->uid == 4242);
}

TEST_CASE("a number without an entry keeps group 0 and the home /") {
    auto user = resolve_user("4242", {}, read_both);
    REQUIRE(user);
    CHECK(user->uid == 4242);
    CHECK(user->gid == 0);
    CHECK(user->home == "/");
}

TEST_CASE("names that are not there, and ids that are too large, are refused by name") {
    auto user = resolve_user("nobody-here", {}, read_both);
    REQUIRE_FALSE(user);
    CHECK(user.error().message.find("nobody-here") != std::string::npos);
    CHECK_FALSE(resolve_user("user:no-group", {}, read_both));
    CHECK(resolve_user("4294967296", {}, read_both).error().code == Errc::invalid);
    CHECK(resolve_user("2147483648", {}, read_both).error().code == Errc::invalid);
    // Not a number, whatever a sloppy parser would make of it (CVE-2026-30892).
    CHECK_FALSE(resolve_user("0x0", {}, read_both));
    CHECK_FALSE(resolve_user("1 ", {}, read_both));
}

TEST_CASE("a line of passwd or group whose id is none is no entry") {
    const auto read = [](std::string_view path) -> Result<std::optional<std::string>> {
        if (path == "/etc/passwd")
            return std::string(
                "worker:x:4294967295:5::/:/bin/sh\nbig:x:2147483648:5::/:/bin/sh\n"
                "odd:x:5:4294967295::/:/bin/sh\n");
        return std::string("g:x:4294967295:\n");
    };
    for (const char* user : {"worker", "big", "odd", "0:g"})
        CHECK(resolve_user(user, {}, read).error().code == Errc::not_found);
    CHECK(resolve_user("0", {"g"}, read).error().code == Errc::not_found);
}

TEST_CASE("--group-add takes names and numbers") {
    auto user = resolve_user("www", {"audio", "44", "44"}, read_both);
    REQUIRE(user);
    CHECK(user->groups == Groups{29, 44});
}

TEST_CASE("files that cannot be read matter only to names") {
    auto read_failing = [](std::string_view) -> Result<std::optional<std::string>> {
        return fail(Errc::denied, "a link where none may be");
    };
    auto user = resolve_user("7:8", {}, read_failing);
    REQUIRE(user);
    CHECK(user->uid == 7);
    CHECK(user->gid == 8);
    CHECK(resolve_user("", {}, read_failing)->uid == 0);
    CHECK(resolve_user("www", {}, read_failing).error().code == Errc::denied);
    CHECK(resolve_user("0:www", {}, read_failing).error().code == Errc::denied);
    CHECK(resolve_user("0", {"audio"}, read_failing).error().code == Errc::denied);
}
