#pragma once

#include <optional>
#include <string_view>

namespace hull::spec {

/// The value of linux.seccomp in the text of a config.json, found without reading the rest: it is
/// two thirds of the document that docker and podman write. The text is not checked; what is found
/// is linux.seccomp only if parse_runtime_config_without() takes it. nullopt when there is none or
/// more than one object of this name.
std::optional<std::string_view> find_seccomp_text(std::string_view config);

}  // namespace hull::spec
