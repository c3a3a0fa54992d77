#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "registry/credentials.hpp"
#include "temporary_folder.hpp"

using namespace hull::registry;

namespace {
/// A folder of the test's own, removed at its end.
struct Folder : hull::TemporaryFolder {
    AuthPaths file(const std::string& content) const {
        std::string name = path + "/config.json";
        REQUIRE(hull::write_file_atomically(name, content));
        return {{name}, name};
    }
};
}  // namespace

TEST_CASE("the entry for the longest part of a repository's name is used") {
    Folder folder;
    auto paths = folder.file(R"({"auths":{
        "r.example": {"auth":"aG9zdDpw"},
        "r.example/team": {"auth":"dGVhbTpw"},
        "https://index.docker.io/v1/": {"auth":"aHViOnA="},
        "t.example": {"auth":"eDo=","identitytoken":"refresh"}}})");
    CHECK((*find_credential(paths, "r.example", "other/x"))->username == "host");
    CHECK((*find_credential(paths, "r.example", "team/x"))->username == "team");
    CHECK((*find_credential(paths, "r.example", "teamwork/x"))->username == "host");
    CHECK((*find_credential(paths, "docker.io", "library/debian"))->username == "hub");
    CHECK((*find_credential(paths, "t.example", "x"))->identity_token == "refresh");
    CHECK_FALSE(find_credential(paths, "unknown.example", "x")->has_value());
}

TEST_CASE("login keeps what else is in the file, and logout removes one host only") {
    Folder folder;
    auto paths = folder.file(R"({"auths":{"a":{"auth":"dTpw"}},"HttpHeaders":{"X":"y"}})");
    REQUIRE(save_credential(paths, "b.example:5000", {"user", "pass:word", ""}));
    auto found = find_credential(paths, "b.example:5000", "x");
    REQUIRE(found);
    CHECK((*found)->password == "pass:word");
    CHECK(hull::read_file(paths.write)->find("HttpHeaders") != std::string::npos);
    CHECK(list_credentials(paths)->size() == 2);
    CHECK(*erase_credential(paths, "b.example:5000"));
    CHECK_FALSE(*erase_credential(paths, "b.example:5000"));
    CHECK((*find_credential(paths, "a", ""))->username == "u");
}

TEST_CASE("a broken credentials file names the field") {
    auto wrong = parse_auth_file(R"({"auths":{"h":{"auth":"!!"}}})", "auth.json");
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().message.find("auth.json.auths.h.auth") != std::string::npos);
    CHECK_FALSE(parse_auth_file(R"({"auths":[]})", "auth.json"));
    CHECK_FALSE(parse_auth_file("", "auth.json"));
}

TEST_CASE("a helper's name that is a path is refused") {
    Folder folder;
    auto paths = folder.file(R"({"credHelpers":{"r.example":"../evil"}})");
    auto found = find_credential(paths, "r.example", "x");
    REQUIRE_FALSE(found);
    CHECK(found.error().code == hull::Errc::invalid);
}
