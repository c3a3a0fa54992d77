#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::spec {

/// What an image runs on. @see OCI image-spec image-index.md, platform.
struct Platform {
    std::string os = "linux";
    std::string architecture;  ///< Go's names: amd64, arm64, arm, 386, riscv64, ppc64le, s390x
    std::string variant;       ///< "v7" for arm, "v8" for arm64, "v2" for amd64; may be empty
    std::string os_version;
    std::vector<std::string> os_features;

    /// "linux/arm/v7".
    std::string to_string() const;
    bool operator==(const Platform&) const = default;
};

/// "linux/amd64", "arm64", "linux/arm/v7"; uname's names ("x86_64", "aarch64") are understood.
/// @errors invalid: another form.
Result<Platform> parse_platform(std::string_view text);

/// The platform that this program was built for.
Platform host_platform();

/// The canonical spelling: arm64/v8 is arm64, arm is arm/v7, amd64/v1 is amd64.
Platform normalize(Platform platform);

/// How well an image of `offered` serves a wish for `wanted`: 0 is not at all, more is better. An
/// arm/v7 machine takes v6 and v5 as well, amd64/v3 takes v2 and v1.
int match_platform(const Platform& wanted, const Platform& offered);

}  // namespace hull::spec
