#pragma once

#include <string>

#include "base/result.hpp"

namespace hull::kernel {

/// A file that the kernel makes whole for one read(2): of one record, as /proc/self/stat, or far
/// shorter than a page. Spares the call that finds its end.
Result<std::string> read_kernel_file(const std::string& path);

}  // namespace hull::kernel
