#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace hull::kernel {

/// A new session keyring for this process and what it starts: keys of the caller are no longer
/// found. Its possessor and its owner may search it, as runc sets it. @see keyctl(2)
/// @errors unsupported: the kernel has no keyrings, or a filter forbids them
Result<int32_t> create_session_keyring(const std::string& name);

}  // namespace hull::kernel
