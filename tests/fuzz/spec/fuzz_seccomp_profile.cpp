#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "spec/seccomp_profile.hpp"

// What is taken must come out of its own text form unchanged.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    auto profile = hull::spec::parse_seccomp_profile_text(text, "profile");
    if (!profile) return 0;
    auto again = hull::spec::parse_seccomp_profile_text(
        hull::spec::format_seccomp_profile(*profile), "profile");
    if (!again || *again != *profile) std::abort();
    return 0;
}
