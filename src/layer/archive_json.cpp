#include "base/json_io.hpp"
#include "layer/archive_members.hpp"

namespace hull::layer {

Result<std::vector<DockerArchiveImage>> parse_docker_archive(const std::string& manifest_json) {
    Json document = TRY(parse_json(manifest_json, "manifest.json"));
    JsonReader in{document, "manifest.json"};
    std::vector<DockerArchiveImage> images;
    for (const JsonReader& element : TRY(in.elements())) {
        DockerArchiveImage image;
        image.config = TRY(TRY(element.require("Config")).as_string());
        TRY(element.read("RepoTags", image.repo_tags));
        TRY(element.read("Layers", image.layers));
        images.push_back(std::move(image));
    }
    return images;
}

std::string format_docker_archive(const std::vector<DockerArchiveImage>& images) {
    Json out = Json::array();
    for (const DockerArchiveImage& image : images)
        out.push_back(
            {{"Config", image.config}, {"RepoTags", image.repo_tags}, {"Layers", image.layers}});
    return dump_json(out);
}

Result<void> check_oci_layout(const std::string& json) {
    Json document = TRY(parse_json(json, "oci-layout"));
    JsonReader in{document, "oci-layout"};
    JsonReader version = TRY(in.require("imageLayoutVersion"));
    std::string text = TRY(version.as_string());
    if (!text.starts_with("1.")) return version.refuse("is " + text + ", hull knows 1.0.0");
    return {};
}

}  // namespace hull::layer
