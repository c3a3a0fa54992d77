#pragma once

#include "base/result.hpp"

namespace hull::jail {

/// "tmpcopyup": copies what the directory `from` holds (by descriptor, O_PATH works) into the
/// directory `to` on another file system: files, folders and links with owner, mode, times and
/// extended attributes; the mode and owner of the top folder as well. No link is followed.
/// @errors io: the tmpfs is too small
Result<void> copy_up(int from, int to);

}  // namespace hull::jail
