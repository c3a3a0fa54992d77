#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "jail/copy_up.hpp"
#include "temporary_folder.hpp"

namespace hull::jail {
namespace {

struct Folder : TemporaryFolder {
    Fd open() const { return Fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }
};

TEST_CASE("copy_up copies files, folders and links with mode and times") {
    const Folder from;
    const Folder to;
    REQUIRE(create_directories(from.path + "/a/b"));
    REQUIRE(write_file_atomically(from.path + "/a/b/file", "content", {.mode = 0640}));
    REQUIRE(::symlink("/etc/shadow", (from.path + "/a/link").c_str()) == 0);
    const timespec times[] = {{.tv_sec = 1000}, {.tv_sec = 2000}};
    REQUIRE(::utimensat(AT_FDCWD, (from.path + "/a/b/file").c_str(), times, 0) == 0);
    REQUIRE(::chmod(from.path.c_str(), 01777) == 0);
    const auto copied = copy_up(from.open().get(), to.open().get());
    if (!copied) FAIL(copied.error().to_string());
    CHECK(read_file(to.path + "/a/b/file") == std::string("content"));
    struct stat info{};
    REQUIRE(::stat((to.path + "/a/b/file").c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 0640);
    CHECK(info.st_mtim.tv_sec == 2000);
    REQUIRE(::lstat((to.path + "/a/link").c_str(), &info) == 0);
    CHECK(S_ISLNK(info.st_mode));
    REQUIRE(::stat(to.path.c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == 01777);
}

TEST_CASE("copy_up leaves fifos out instead of waiting for their other end") {
    const Folder from;
    const Folder to;
    REQUIRE(::mkfifo((from.path + "/fifo").c_str(), 0600) == 0);
    REQUIRE(copy_up(from.open().get(), to.open().get()));
    CHECK_FALSE(path_exists(to.path + "/fifo"));
}

TEST_CASE("copy_up names what it could not copy") {
    const Folder from;
    const Folder to;
    REQUIRE(write_file_atomically(from.path + "/same", "new"));
    REQUIRE(write_file_atomically(to.path + "/same", "old"));
    const auto copied = copy_up(from.open().get(), to.open().get());
    REQUIRE_FALSE(copied);
    CHECK(copied.error().to_string().find("same") != std::string::npos);
    CHECK(read_file(to.path + "/same") == std::string("old"));
}

}  // namespace
}  // namespace hull::jail
