#pragma once

#include <optional>
#include <string>

#include "kernel/seccomp.hpp"

namespace hull::kernel {

/// `filter` as text: equal filters have equal texts, and only these.
std::string seccomp_source(const SeccompFilter& filter);
/// One cache entry: what was compiled and what came out, with a check sum.
std::string encode_seccomp_entry(const std::string& source, const SeccompProgram& program);
/// The program of an entry of `source`; nullopt when the entry is of another source or damaged.
std::optional<SeccompProgram> decode_seccomp_entry(std::string_view entry, std::string_view source);

}  // namespace hull::kernel
