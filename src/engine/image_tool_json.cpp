#include "base/json_io.hpp"
#include "engine/image_tool.hpp"

namespace hull::engine {

std::vector<std::string> parse_result_names(std::string_view json) {
    std::vector<std::string> names;
    auto document = parse_json(json, "hull-image's result");
    if (!document) return names;
    auto images = JsonReader(*document, "").find("images");
    auto entries = images ? images->elements() : Result<std::vector<JsonReader>>{};
    if (!entries) return names;
    for (const auto& entry : *entries) {
        std::string name;
        if (entry.read("name", name) && !name.empty()) names.push_back(std::move(name));
    }
    return names;
}

}  // namespace hull::engine
