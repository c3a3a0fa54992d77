#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "kernel/cgroup_resources.hpp"
#include "runtime/dbus.hpp"

// Unit properties for systemd: from resources, and from annotations in GVariant's text form.

namespace hull::runtime {

/// One (sv): a name and a variant.
struct UnitProperty {
    std::string name;
    std::string signature;  ///< of the value: "t", "b", "as"
    std::function<void(DbusWriter&)> put_value;
};

/// Appends `properties` as the array a(sv).
void put_properties(DbusWriter& writer, const std::vector<UnitProperty>& properties);

UnitProperty string_property(std::string name, std::string_view value);
UnitProperty bool_property(std::string name, bool value);
UnitProperty uint64_property(std::string name, uint64_t value);
UnitProperty pids_property(std::string name, const std::vector<pid_t>& pids);

/// MemoryMax, CPUWeight, TasksMax … of `resources`; on v1 MemoryLimit, CPUShares … What systemd has
/// no property for is left to the cgroup's own files.
/// @errors invalid: a CPU list that does not parse
Result<std::vector<UnitProperty>> resource_properties(const kernel::CgroupResources& resources,
                                                      bool is_v2);

/// An annotation org.systemd.property.NAME with its value in GVariant's text form: true, 'text',
/// 5 (int32), uint64 123, 1.5, ['a', 'b'], @as []. A name that ends in "Sec" with a number is
/// turned into "USec" and microseconds, as other runtimes do.
/// @errors invalid: a name that is not letters alone, or a value that does not parse
Result<UnitProperty> parse_property_annotation(std::string_view name, std::string_view value);

/// "0-3,8" as the bit mask that AllowedCPUs takes, lowest byte first. @errors invalid
Result<std::vector<uint8_t>> parse_cpu_list(std::string_view list);

}  // namespace hull::runtime
