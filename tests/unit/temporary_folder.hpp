#pragma once

#include <stdlib.h>

#include <string>

#include <doctest/doctest.h>

#include "base/file.hpp"

namespace hull {

/// A folder that is gone, with its content, when the test ends.
struct TemporaryFolder {
    std::string path = "/tmp/hull-test-XXXXXX";
    TemporaryFolder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
    ~TemporaryFolder() { (void)remove_tree(path); }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
};

}  // namespace hull
