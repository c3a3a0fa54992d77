#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "runtime/container.hpp"
#include "runtime/intel_rdt.hpp"
#include "runtime/settings.hpp"
#include "spec/runtime.hpp"

namespace hull::runtime {

/// `pause` @errors conflict ("container not running"): neither running nor created
Result<void> pause_container(const Settings& settings, const std::string& id);
/// `resume` @errors conflict: not paused
Result<void> resume_container(const Settings& settings, const std::string& id);
/// `update`: changes what is set in `resources` and `rdt`, leaves the rest.
Result<void> update_container(const Settings& settings, const std::string& id,
                              const spec::Resources& resources, const RdtUpdate& rdt = {});

/// Pids of all of the container's processes, as the caller sees them.
Result<std::vector<pid_t>> processes_of(const Container& container);
Result<std::vector<pid_t>> container_processes(const Settings& settings, const std::string& id);

/// `events --stats`: one line of JSON, of runc's shape.
Result<std::string> container_stats(const Settings& settings, const std::string& id);
/// `events`: a line of statistics on stdout each interval and one for each OOM kill, until the
/// container ends.
Result<void> follow_events(const Settings& settings, const std::string& id,
                           std::chrono::milliseconds interval);

}  // namespace hull::runtime
