#pragma once

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/text.hpp"
#include "spec/runtime_check.hpp"

// For runtime_check*.cpp only.

namespace hull::spec {

/// Collects violations; one method per part of the document.
class RuntimeRules {
  public:
    std::vector<Violation> found;

    void config(const RuntimeConfig& config);
    void process(const Process& process);
    void user(const User& user);
    void resources(const Resources& resources);

  private:
    void add(std::string path, std::string_view value, std::string_view rule,
             std::string_view section, std::string_view remedy) {
        // Without a value nothing was written; " " stands for an empty text.
        found.push_back({.path = std::move(path),
                         .value = value.empty() ? "" : quote(value == " " ? "" : value),
                         .rule = std::string{rule},
                         .section = std::string{section},
                         .remedy = std::string{remedy}});
    }
    /// `value` must be one of `known`.
    void one_of(std::string path, std::string_view value,
                std::initializer_list<std::string_view> known, std::string_view section);

    /// A text that is not empty must be a list of CPUs or memory nodes.
    void number_list(std::string path, std::string_view list, std::string_view section);

    void version(const RuntimeConfig& config);
    void root(const RuntimeConfig& config);
    void mounts(const RuntimeConfig& config);
    void mount_mappings(const Mount& mount, const std::string& path, const Linux& section);
    void hooks(const Hooks& hooks);
    void scheduler(const Scheduler& scheduler);
    void capabilities(const Capabilities& sets);
    void namespaces(const Linux& section);
    void mappings(const Linux& section);
    void mapping_list(const std::vector<IdMapping>& list, const std::string& path);
    void time_offsets(const Linux& section);
    void names(const RuntimeConfig& config);
    void devices(const Linux& section);
    void net_devices(const Linux& section);
    void sysctl(const Linux& section);
    void paths(const Linux& section);
    void intel_rdt(const IntelRdt& rdt);
    void seccomp(const RuntimeConfig& config);
    void memory_policy(const MemoryPolicy& policy);
    void device_rules(const Resources& resources);
    void memory(const MemoryResources& memory);
    void cpu(const CpuResources& cpu);
    void block_io(const BlockIoResources& io);
};

}  // namespace hull::spec
