#pragma once

#include <string_view>

#include "base/result.hpp"
#include "spec/image.hpp"

namespace hull::image {

/// Carries out one Dockerfile instruction that changes only the configuration: CMD, ENTRYPOINT,
/// ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, WORKDIR, HEALTHCHECK NONE, SHELL, ONBUILD.
/// CMD and ENTRYPOINT take the JSON form, else they are a line for /bin/sh -c.
/// @errors invalid: another instruction, or a form it does not have
/// @see docker import --change; Dockerfile reference
Result<void> apply_change(std::string_view instruction, spec::ContainerDefaults& config);

}  // namespace hull::image
