#include <cstddef>
#include <cstdint>
#include <string_view>

#include "registry/policy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string_view text{reinterpret_cast<const char*>(data), size};
    (void)hull::registry::parse_signed_claim(text);
    auto policy = hull::registry::parse_policy(text, "fuzz");
    if (!policy) return 0;
    auto found = policy->find("docker", {"h.example/a:1", "h.example/a", "h.example"});
    // A policy without demands would let everything in.
    if (found.requirements->empty()) __builtin_trap();
    return 0;
}
