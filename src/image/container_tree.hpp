#pragma once

#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "store/store.hpp"

namespace hull::image {

/// "container:ID": what `hull` makes of "container:NAME" before it starts hull-image.
inline constexpr std::string_view kContainerPrefix = "container:";

/// The root file system of a container as it is now, running or not: what it wrote over the layers
/// of its image, read-only. A detached mount, so only before confine(); as an ordinary user in the
/// user's namespace.
/// @param id  whole, also the snapshot's
/// @errors not_found
Result<Fd> open_container_tree(const store::Store& store, const std::string& id);

}  // namespace hull::image
