#pragma once

#include "base/fd.hpp"
#include "base/result.hpp"
#include "runtime/settings.hpp"

namespace hull::runtime {

/// Sends this process's log where --log says: a file ("PATH", "file:PATH"), the journal
/// ("journald:IDENTIFIER") or syslog ("syslog:IDENTIFIER"), as crun(1) has it; stderr without it.
/// @return  what must stay open as long as there is something to log; not open: stderr
/// @errors  not_found, denied: the file or socket cannot be opened
Result<Fd> configure_log(const Settings& settings);

}  // namespace hull::runtime
