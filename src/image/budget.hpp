#pragma once

#include <vector>

#include "base/result.hpp"
#include "image/command.hpp"
#include "spec/digest.hpp"
#include "store/store.hpp"

namespace hull::image {

/// Manifests of images whose layers a snapshot (a container) stands on.
Result<std::vector<spec::Digest>> manifests_in_use(const store::Store& store);

/// After images came in (context.results()): when the settings give the store a budget, drops the
/// images unused longest, but none that a container needs and none that just came. What cannot be
/// done is a warning: the images are here.
void keep_to_budget(Context& context, const store::Store& store);

}  // namespace hull::image
