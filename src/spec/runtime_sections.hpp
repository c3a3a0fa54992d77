#pragma once

#include <string_view>

namespace hull::spec {

/// The part of the runtime specification that says what the field at `path` ("linux.sysctl.a")
/// means: "config-linux.md, Sysctl". Empty for a path that it does not know.
std::string_view section_of(std::string_view path);

}  // namespace hull::spec
