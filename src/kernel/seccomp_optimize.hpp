#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

// Rewrites a seccomp filter into a shorter one that decides the same.
//
// A filter's answer depends on the architecture, the call's number and its arguments. For one
// architecture and number all but the arguments is known, so the program can be run ahead of time
// (partial evaluation) until what is left is one answer or a small decision over arguments. Numbers
// between two constants that the program compares with are all alike, so a few hundred runs cover
// all 2^32. Neighbours with equal answers are merged, and the merged ranges are emitted as a binary
// search. The result is analysed in the same way and compared with the original, range by range:
// only if all decisions are identical is it used.

namespace hull::kernel {

/// Every call of `architecture` with a number in [first, last] is answered with `verdict`.
struct SeccompRange {
    uint32_t architecture = 0;
    uint32_t first = 0;
    uint32_t last = 0;
    uint32_t verdict = 0;
};

/// `program` behind a prelude that answers `ranges`, the first that fits.
std::vector<sock_filter> prepend_ranges(std::span<const sock_filter> program,
                                        std::span<const SeccompRange> ranges);

/// A shorter equal program that looks at `first_architecture` (AUDIT_ARCH_*) first. nullopt: there
/// is none, or `program` uses an instruction that libseccomp's filters do not have, or the proof of
/// equality fails.
std::optional<std::vector<sock_filter>> optimize_seccomp(std::span<const sock_filter> program,
                                                         uint32_t first_architecture);

/// Runs a filter as the kernel does. nullopt: the program is malformed (out of bounds, an
/// instruction that seccomp(2) refuses).
std::optional<uint32_t> run_seccomp_filter(std::span<const sock_filter> program,
                                           const seccomp_data& data);

}  // namespace hull::kernel
