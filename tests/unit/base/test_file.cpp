#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "base/json_io.hpp"
#include "base/own_directory.hpp"
#include "base/spawn.hpp"
#include "temporary_folder.hpp"

using namespace hull;

TEST_CASE("a file is replaced as one step, and a failure leaves no temporary file") {
    TemporaryFolder folder;
    std::string path = folder.path + "/a";
    REQUIRE(write_file_atomically(path, "one"));
    REQUIRE(write_file_atomically(path, "two", {.mode = 0600, .durable = true}));
    CHECK(*read_file(path) == "two");
    REQUIRE(::mkdir((folder.path + "/d").c_str(), 0755) == 0);
    CHECK_FALSE(write_file_atomically(folder.path + "/d", "x"));
    CHECK(*list_directory(folder.path) == std::vector<std::string>{"a", "d"});
}

TEST_CASE("remove_tree does not follow a symbolic link") {
    TemporaryFolder folder;
    TemporaryFolder other;
    REQUIRE(write_file_atomically(other.path + "/keep", "x"));
    REQUIRE(create_directories(folder.path + "/tree/deep"));
    REQUIRE(::symlink(other.path.c_str(), (folder.path + "/tree/deep/link").c_str()) == 0);
    REQUIRE(remove_tree(folder.path + "/tree"));
    CHECK_FALSE(path_exists(folder.path + "/tree"));
    CHECK(path_exists(other.path + "/keep"));
}

TEST_CASE("remove_tree needs few descriptors, however deep the tree is") {
    TemporaryFolder folder;
    REQUIRE(create_directories(folder.path + "/tree"));
    auto here = open_path(folder.path + "/tree", O_PATH | O_DIRECTORY);
    REQUIRE(here);
    for (int i = 0; i < 5000; ++i) {
        REQUIRE(::mkdirat(here->get(), "d", 0755) == 0);
        here = open_at(here->get(), "d", O_PATH | O_DIRECTORY);
        REQUIRE(here);
    }
    here->reset();
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit few{128, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    const auto removed = remove_tree(folder.path + "/tree");
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK_MESSAGE(removed.has_value(), (removed ? "" : removed.error().to_string()));
    CHECK_FALSE(path_exists(folder.path + "/tree"));
    CHECK(remove_tree(folder.path + "/none/such"));
}

TEST_CASE("a folder of one's own is nobody else's, no link, and closed to other writers") {
    TemporaryFolder folder;
    const std::string path = folder.path + "/own";
    REQUIRE(create_own_directory(path, 0711));
    CHECK(create_own_directory(path, 0711));
    REQUIRE(::chmod(path.c_str(), 0771) == 0);
    CHECK(create_own_directory(path, 0711).error().code == Errc::denied);
    REQUIRE(::chmod(path.c_str(), 0700) == 0);
    REQUIRE(::symlink(path.c_str(), (folder.path + "/link").c_str()) == 0);
    CHECK(create_own_directory(folder.path + "/link", 0711).error().code == Errc::denied);
    CHECK(check_own_directory(folder.path + "/none").error().code == Errc::not_found);
    REQUIRE(write_file_atomically(folder.path + "/file", "x"));
    CHECK(check_own_directory(folder.path + "/file").error().code == Errc::denied);
    if (::geteuid() == 0) {
        REQUIRE(::chown(path.c_str(), 65534, 65534) == 0);
        CHECK(check_own_directory(path).error().code == Errc::denied);
    }
}

TEST_CASE("a lock is held by one") {
    TemporaryFolder folder;
    auto first = LockFile::acquire(folder.path + "/lock");
    REQUIRE(first);
    CHECK(LockFile::try_acquire(folder.path + "/lock").error().code == Errc::conflict);
}

TEST_CASE("paths are cleaned as text") {
    CHECK(clean_path("/a/./b//../c/") == "/a/c");
    CHECK(clean_path("/../../x") == "/x");
    CHECK(clean_path("") == ".");
    CHECK(join_path("/a/", "/b") == "/a/b");
    CHECK(parent_path("/a/b/") == "/a");
    CHECK(base_name("/a/b/") == "b");
}

TEST_CASE("JSON errors name the field, the line and the reason") {
    CHECK(parse_json("{\n \"a\": }", "config.json").error().message ==
          "config.json: not valid JSON at line 2, column 7");
    CHECK(parse_json(R"({"a":1,"a":2})", "x").error().message == R"(x: has the key "a" twice)");
    auto document = parse_json(R"({"linux":{"list":[1,"x"],"n":-1,"s":"a\u0000b"}})", "x");
    REQUIRE(document);
    JsonReader linux_part = *JsonReader{*document, ""}.find("linux");
    CHECK((*linux_part.require("list")->elements())[0].as_string().error().message ==
          "linux.list[0]: must be a string, is number 1");
    CHECK_FALSE((*linux_part.require("list")->elements())[0].as_string().error().hint.empty());
    CHECK(linux_part.require("n")->as_uint64().error().message == "linux.n: must not be negative");
    CHECK(linux_part.require("none").error().message == "linux.none: is missing");
    CHECK_FALSE(linux_part.require("s")->as_string());
}

TEST_CASE("a command's output, input and status come back") {
    auto output =
        run_command({.program = "sh", .args = {"-c", "cat; echo err >&2; exit 3"}}, "hello");
    REQUIRE(output);
    CHECK(output->out == "hello");
    CHECK(output->err == "err\n");
    CHECK(output->status.code == 3);
    CHECK(run_command({.program = "/nonexistent"}).error().code == Errc::not_found);
}
