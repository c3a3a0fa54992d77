#pragma once

#include "base/file.hpp"
#include "base/result.hpp"

// remove_tree() and remove_tree_at() of file.hpp are for trees that strangers made: neither links
// nor mounts are crossed, and a tree of any depth takes a bounded number of descriptors and of
// stack.

namespace hull {

/// As remove_tree(), of all that is in the open folder `directory`, which stays.
Result<void> remove_content_at(int directory);

}  // namespace hull
