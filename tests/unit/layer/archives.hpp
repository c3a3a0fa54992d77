#pragma once

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "layer/stream.hpp"
#include "layer/tar.hpp"
#include "layer/unpack.hpp"

/// A folder to unpack into, with a second one beside it that must stay as it is.
struct UnpackFolder {
    std::string path = "/tmp/hull-test-XXXXXX";
    hull::Fd root;
    UnpackFolder() {
        REQUIRE(::mkdtemp(path.data()) != nullptr);
        REQUIRE(hull::create_directories(path + "/root"));
        REQUIRE(hull::create_directories(path + "/outside"));
        REQUIRE(hull::write_file_atomically(path + "/outside/file", "untouched"));
        auto opened = hull::open_path(path + "/root", O_RDONLY | O_DIRECTORY);
        REQUIRE(opened);
        root = std::move(*opened);
    }
    ~UnpackFolder() { (void)hull::remove_tree(path); }
    UnpackFolder(const UnpackFolder&) = delete;
    UnpackFolder& operator=(const UnpackFolder&) = delete;

    std::string in(const std::string& name) const { return path + "/root/" + name; }
    struct stat stat(const std::string& name) const {
        struct stat info{};
        CAPTURE(name);
        REQUIRE(::lstat(in(name).c_str(), &info) == 0);
        return info;
    }
    bool has(const std::string& name) const {
        struct stat info{};
        return ::lstat(in(name).c_str(), &info) == 0;
    }
    void check_outside_is_untouched() const {
        CHECK(*hull::list_directory(path) == std::vector<std::string>{"outside", "root"});
        CHECK(*hull::list_directory(path + "/outside") == std::vector<std::string>{"file"});
        CHECK(*hull::read_file(path + "/outside/file") == "untouched");
    }

    hull::Result<hull::layer::UnpackReport> unpack(
        const std::string& tar,
        hull::layer::WhiteoutForm form = hull::layer::WhiteoutForm::overlay_user,
        size_t pending_folders = 50'000) const {
        hull::layer::TextSource source{tar};
        hull::layer::UnpackOptions options;
        options.whiteouts = form;
        options.pending_folders = pending_folders;
        options.set_owners = false;  // these tests run as an ordinary user as well
        return hull::layer::unpack_tar(source, root.get(), options);
    }
};

/// Builds small archives, hostile ones too.
class ArchiveBuilder {
  public:
    ArchiveBuilder& file(const std::string& name, const std::string& content = "content",
                         mode_t mode = 0644) {
        hull::layer::TarEntry entry = named(name, hull::layer::TarType::file, mode);
        entry.size = content.size();
        REQUIRE(writer_.add(entry));
        REQUIRE(writer_.write_data(content));
        return *this;
    }
    ArchiveBuilder& folder(const std::string& name, mode_t mode = 0755) {
        REQUIRE(writer_.add(named(name, hull::layer::TarType::directory, mode)));
        return *this;
    }
    ArchiveBuilder& link(const std::string& name, const std::string& target) {
        return linked(name, target, hull::layer::TarType::symlink);
    }
    ArchiveBuilder& hard_link(const std::string& name, const std::string& target) {
        return linked(name, target, hull::layer::TarType::hard_link);
    }
    ArchiveBuilder& node(const std::string& name, hull::layer::TarType type, unsigned major = 1,
                         unsigned minor = 3) {
        hull::layer::TarEntry entry = named(name, type, 0666);
        entry.device_major = major;
        entry.device_minor = minor;
        REQUIRE(writer_.add(entry));
        return *this;
    }
    ArchiveBuilder& add(const hull::layer::TarEntry& entry, const std::string& content = "") {
        REQUIRE(writer_.add(entry));
        REQUIRE(writer_.write_data(content));
        return *this;
    }
    std::string build() {
        REQUIRE(writer_.finish());
        return sink_.text;
    }
    static hull::layer::TarEntry named(const std::string& name, hull::layer::TarType type,
                                       mode_t mode) {
        hull::layer::TarEntry entry;
        entry.name = name;
        entry.type = type;
        entry.mode = mode;
        entry.mtime = {1'000'000'000, 0};
        return entry;
    }

  private:
    ArchiveBuilder& linked(const std::string& name, const std::string& target,
                           hull::layer::TarType type) {
        hull::layer::TarEntry entry = named(name, type, 0777);
        entry.link = target;
        REQUIRE(writer_.add(entry));
        return *this;
    }
    hull::layer::TextSink sink_;
    hull::layer::TarWriter writer_{sink_};
};
