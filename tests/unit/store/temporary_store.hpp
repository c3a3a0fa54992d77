#pragma once

#include <stdlib.h>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "spec/digest.hpp"
#include "store/store.hpp"

/// A store in a temporary folder.
struct TemporaryStore {
    std::string path = "/tmp/hull-test-XXXXXX";
    TemporaryStore() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~TemporaryStore() { (void)hull::remove_tree(path); }
    TemporaryStore(const TemporaryStore&) = delete;
    TemporaryStore& operator=(const TemporaryStore&) = delete;

    hull::store::Store open() const {
        auto store = hull::store::Store::open(path + "/store");
        REQUIRE(store);
        return std::move(*store);
    }
};

/// "sha256:" and 64 times `digit`.
inline hull::spec::Digest digest_of(char digit) {
    return *hull::spec::Digest::parse("sha256:" + std::string(64, digit));
}

/// An unpacked layer with one file, made by hand.
inline void add_layer(const hull::store::Store& store, char digit, const std::string& file,
                      std::vector<std::string> implied = {}) {
    auto staged = store.layers().create_staging();
    REQUIRE(staged);
    REQUIRE(hull::create_directories(hull::parent_path(staged->path() + "/tree/" + file)));
    REQUIRE(hull::write_file_atomically(staged->path() + "/tree/" + file, "content"));
    hull::store::LayerRecord record;
    record.diff_id = digest_of(digit);
    record.bytes = 7;
    record.implied_directories = std::move(implied);
    REQUIRE(store.layers().publish(std::move(*staged), record));
}
