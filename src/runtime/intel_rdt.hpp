#pragma once

#include <string>
#include <string_view>

#include "base/json_writer.hpp"
#include "base/result.hpp"
#include "runtime/container.hpp"
#include "spec/runtime.hpp"

// linux.intelRdt (runtime-spec 1.3, config-linux.md): the class of cache and memory bandwidth that
// a container's processes are in.

namespace hull::runtime {

/// What the section asks of the kernel, for the container `id`.
kernel::ResctrlRequest resctrl_request(const spec::IntelRdt& section, const std::string& id);

/// Notes in `state` which class and monitoring group the container will have, before they are made.
/// Nothing to do without the section. @errors unsupported: the machine has no resctrl
Result<void> plan_intel_rdt(const spec::RuntimeConfig& config, ContainerState& state);
/// Makes what plan_intel_rdt() has noted.
Result<void> create_intel_rdt(const spec::RuntimeConfig& config, const ContainerState& state);
/// Puts the container's first process, of which the others descend, into its class.
Result<void> join_intel_rdt(const ContainerState& state);

/// `update --l3-cache-schema, --mem-bw-schema`: a container without a class gets one of its own.
struct RdtUpdate {
    std::string l3_cache_schema;
    std::string mem_bw_schema;
    bool empty() const { return l3_cache_schema.empty() && mem_bw_schema.empty(); }
};
Result<void> update_intel_rdt(Container& container, const RdtUpdate& update);

/// The member "intel_rdt" of runc's statistics.
void write_intel_rdt(JsonWriter& out, const ContainerState& state);
/// The same of statistics that were read. Pure.
void write_resctrl_stats(JsonWriter& out, const kernel::ResctrlStats& stats);

}  // namespace hull::runtime
