#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json_writer.hpp"
#include "spec/runtime.hpp"

// For runtime_write*.cpp only.

namespace hull::spec {

template <typename T>
void write_optional(JsonWriter& out, std::string_view name, const std::optional<T>& value) {
    if (value) out.field(name, *value);
}
void write_strings(JsonWriter& out, std::string_view name, const std::vector<std::string>& items);
void write_map(JsonWriter& out, std::string_view name,
               const std::vector<std::pair<std::string, std::string>>& map);
void write_id_mappings(JsonWriter& out, std::string_view name,
                       const std::vector<IdMapping>& mappings);
void write_linux(JsonWriter& out, const Linux& section);
void write_resources(JsonWriter& out, const Resources& resources);

}  // namespace hull::spec
