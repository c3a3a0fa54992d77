#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::kernel {

/// Number of the capabilities that hull knows by name (CAP_CHECKPOINT_RESTORE, 5.9, is the last).
inline constexpr int kCapabilityCount = 41;

/// A set of capabilities by number, capabilities(7).
struct CapabilitySet {
    uint64_t bits = 0;

    bool has(int capability) const { return (bits >> static_cast<unsigned>(capability) & 1U) != 0; }
    void add(int capability) { bits |= uint64_t{1} << static_cast<unsigned>(capability); }
    void remove(int capability) { bits &= ~(uint64_t{1} << static_cast<unsigned>(capability)); }
    bool empty() const { return bits == 0; }
    bool operator==(const CapabilitySet&) const = default;
};

/// "CAP_NET_ADMIN", "net_admin", any case. nullopt: unknown
std::optional<int> parse_capability(std::string_view name);
/// "CAP_NET_ADMIN"; "CAP_45" for a number that has no name.
std::string capability_name(int capability);
/// All names in order of their numbers.
std::vector<std::string> capability_names();
std::vector<std::string> capability_names(CapabilitySet set);
/// Highest capability of this kernel. @see PR_CAPBSET_READ
int last_capability();
/// All capabilities of this kernel.
CapabilitySet all_capabilities();

/// The five sets of a process.
struct CapabilitySets {
    CapabilitySet bounding;
    CapabilitySet effective;
    CapabilitySet permitted;
    CapabilitySet inheritable;
    CapabilitySet ambient;
    bool operator==(const CapabilitySets&) const = default;
};

/// The calling thread's five sets.
Result<CapabilitySets> read_capabilities();
/// One of the five, with a single system call.
Result<CapabilitySet> read_effective_capabilities();

/// Before the ids change: drops from the bounding set what is not in `keep`. Needs CAP_SETPCAP if
/// anything is to be dropped.
Result<void> limit_bounding_set(CapabilitySet keep);
/// Permitted capabilities survive a change of ids from 0 to others (PR_SET_KEEPCAPS).
Result<void> set_keep_capabilities(bool on);
/// After the ids changed: sets effective, permitted, inheritable and ambient exactly. What the
/// process does not have cannot be gained: with `clamp` it is left out, else an error.
struct ApplyOptions {
    bool clamp = false;
};
Result<void> apply_capabilities(const CapabilitySets& sets, ApplyOptions options = {});

}  // namespace hull::kernel
