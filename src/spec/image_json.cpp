#include "base/json_io.hpp"
#include "base/text.hpp"
#include "spec/image.hpp"

namespace hull::spec {
namespace {

/// A manifest with more is refused: it costs the reader more than any image is worth.
constexpr size_t kMaxLayers = 1000;
constexpr size_t kMaxManifests = 10'000;

using Ordered = nlohmann::ordered_json;

std::string dump(const Ordered& json) {
    return json.dump(-1, ' ', false, Ordered::error_handler_t::replace);
}

// ---- reading ----

Result<std::map<std::string, std::string>> read_string_map(const JsonReader& in,
                                                           std::string_view key) {
    std::map<std::string, std::string> map;
    auto object = in.find(key);
    if (!object) return map;
    for (const auto& [name, value] : TRY(object->members()))
        map[name] = TRY(value.as_string());
    return map;
}

Result<Platform> read_platform(const JsonReader& in) {
    Platform platform;
    TRY(in.read("os", platform.os));
    TRY(in.read("architecture", platform.architecture));
    TRY(in.read("variant", platform.variant));
    TRY(in.read("os.version", platform.os_version));
    TRY(in.read("os.features", platform.os_features));
    return platform;
}

Result<Digest> read_digest(const JsonReader& in) {
    auto digest = Digest::parse(TRY(in.as_string()));
    if (!digest) return fail(std::move(digest).error().with_context(in.path()));
    return std::move(*digest);
}

Result<Descriptor> read_descriptor(const JsonReader& in) {
    TRY(in.expect_object());
    Descriptor descriptor;
    TRY(in.read("mediaType", descriptor.media_type));
    descriptor.digest = TRY(read_digest(TRY(in.require("digest"))));
    JsonReader size = TRY(in.require("size"));
    int64_t bytes = TRY(size.as_int64());
    if (bytes < 0) return size.refuse("must not be negative");
    descriptor.size = static_cast<uint64_t>(bytes);
    if (auto platform = in.find("platform")) descriptor.platform = TRY(read_platform(*platform));
    descriptor.annotations = TRY(read_string_map(in, "annotations"));
    TRY(in.read("urls", descriptor.urls));
    TRY(in.read("artifactType", descriptor.artifact_type));
    TRY(in.read("data", descriptor.data));
    return descriptor;
}

Result<std::vector<Descriptor>> read_descriptors(const JsonReader& in, std::string_view key,
                                                 size_t limit) {
    std::vector<Descriptor> descriptors;
    auto list = in.find(key);
    if (!list) return descriptors;
    std::vector<JsonReader> elements = TRY(list->elements());
    if (elements.size() > limit)
        return list->refuse("has " + std::to_string(elements.size()) + " entries, more than " +
                            std::to_string(limit));
    for (const JsonReader& element : elements)
        descriptors.push_back(TRY(read_descriptor(element)));
    return descriptors;
}

/// What a document says it is, or what its form says when it says nothing.
Result<std::string> media_type_of(const JsonReader& in) {
    TRY(in.expect_object());
    if (auto version = in.find("schemaVersion"); version && version->json() == 1)
        return fail(Errc::unsupported,
                    "the image has a schema 1 manifest, which cannot be verified",
                    "push it again with a docker newer than 1.10, or copy it with skopeo first");
    std::string type;
    TRY(in.read("mediaType", type));
    bool has_layers = in.has("layers") || in.has("config");
    bool has_manifests = in.has("manifests");
    if (has_layers && has_manifests)
        return fail(Errc::invalid,
                    in.path() + ": is a manifest and an index at once (CVE-2021-41190)");
    if (type.empty()) {
        if (has_manifests) return std::string{media::kOciIndex};
        if (has_layers) return std::string{media::kOciManifest};
        return fail(Errc::invalid, in.path() + ": is neither a manifest nor an index");
    }
    if ((is_index_type(type) && has_layers) || (is_manifest_type(type) && has_manifests))
        return fail(Errc::invalid, in.path() + ".mediaType: says " + quote(type) +
                                       ", but the document has another form");
    return type;
}

Result<std::string> check_media_type(const JsonReader& in, std::string_view transport_type,
                                     bool (*is_wanted)(std::string_view)) {
    std::string type = TRY(media_type_of(in));
    if (!is_wanted(type)) return fail(Errc::invalid, in.path() + ".mediaType: is " + quote(type));
    bool is_own = in.has("mediaType");
    if (is_wanted(transport_type)) {
        if (is_own && type != transport_type)
            return fail(Errc::invalid, in.path() + ".mediaType: is " + quote(type) +
                                           ", but it came as " + quote(transport_type));
        return std::string{transport_type};
    }
    return type;
}

Result<HealthCheck> read_health_check(const JsonReader& in) {
    HealthCheck check;
    TRY(in.read("Test", check.test));
    TRY(in.read("Interval", check.interval));
    TRY(in.read("Timeout", check.timeout));
    TRY(in.read("StartPeriod", check.start_period));
    TRY(in.read("StartInterval", check.start_interval));
    TRY(in.read("Retries", check.retries));
    return check;
}

/// Docker's sets: {"80/tcp": {}}.
Result<std::vector<std::string>> read_keys(const JsonReader& in, std::string_view key) {
    std::vector<std::string> keys;
    if (auto object = in.find(key))
        for (const auto& [name, value] : TRY(object->members()))
            keys.push_back(name);
    return keys;
}

Result<ContainerDefaults> read_defaults(const JsonReader& in) {
    ContainerDefaults config;
    TRY(in.read("User", config.user));
    TRY(in.read("Env", config.env));
    TRY(in.read("Entrypoint", config.entrypoint));
    TRY(in.read("Cmd", config.cmd));
    TRY(in.read("WorkingDir", config.working_dir));
    TRY(in.read("StopSignal", config.stop_signal));
    TRY(in.read("Shell", config.shell));
    TRY(in.read("OnBuild", config.on_build));
    config.exposed_ports = TRY(read_keys(in, "ExposedPorts"));
    config.volumes = TRY(read_keys(in, "Volumes"));
    config.labels = TRY(read_string_map(in, "Labels"));
    if (auto check = in.find("Healthcheck")) config.health_check = TRY(read_health_check(*check));
    return config;
}

Result<std::vector<HistoryEntry>> read_history(const JsonReader& in) {
    std::vector<HistoryEntry> history;
    auto list = in.find("history");
    if (!list) return history;
    for (const JsonReader& element : TRY(list->elements())) {
        HistoryEntry entry;
        TRY(element.read("created", entry.created));
        TRY(element.read("created_by", entry.created_by));
        TRY(element.read("author", entry.author));
        TRY(element.read("comment", entry.comment));
        TRY(element.read("empty_layer", entry.empty_layer));
        history.push_back(std::move(entry));
    }
    return history;
}

// ---- writing ----

void write_if(Ordered& out, const char* key, const std::string& value) {
    if (!value.empty()) out[key] = value;
}

template <typename T>
void write_if(Ordered& out, const char* key, const T& container) {
    if (!container.empty()) out[key] = container;
}

Ordered platform_json(const Platform& platform) {
    Ordered out;
    out["architecture"] = platform.architecture;
    out["os"] = platform.os;
    write_if(out, "os.version", platform.os_version);
    write_if(out, "os.features", platform.os_features);
    write_if(out, "variant", platform.variant);
    return out;
}

Ordered descriptor_json(const Descriptor& descriptor) {
    Ordered out;
    out["mediaType"] = descriptor.media_type;
    out["digest"] = descriptor.digest.to_string();
    out["size"] = descriptor.size;
    write_if(out, "urls", descriptor.urls);
    write_if(out, "annotations", descriptor.annotations);
    write_if(out, "data", descriptor.data);
    if (descriptor.platform) out["platform"] = platform_json(*descriptor.platform);
    write_if(out, "artifactType", descriptor.artifact_type);
    return out;
}

Ordered descriptors_json(const std::vector<Descriptor>& descriptors) {
    Ordered out = Ordered::array();
    for (const Descriptor& descriptor : descriptors)
        out.push_back(descriptor_json(descriptor));
    return out;
}

Ordered keys_json(const std::vector<std::string>& keys) {
    Ordered out = Ordered::object();
    for (const std::string& key : keys)
        out[key] = Ordered::object();
    return out;
}

Ordered defaults_json(const ContainerDefaults& config) {
    Ordered out = Ordered::object();
    write_if(out, "User", config.user);
    if (!config.exposed_ports.empty()) out["ExposedPorts"] = keys_json(config.exposed_ports);
    write_if(out, "Env", config.env);
    write_if(out, "Entrypoint", config.entrypoint);
    write_if(out, "Cmd", config.cmd);
    if (const auto& check = config.health_check) {
        Ordered& health = out["Healthcheck"];
        health["Test"] = check->test;
        if (check->interval != 0) health["Interval"] = check->interval;
        if (check->timeout != 0) health["Timeout"] = check->timeout;
        if (check->start_period != 0) health["StartPeriod"] = check->start_period;
        if (check->start_interval != 0) health["StartInterval"] = check->start_interval;
        if (check->retries != 0) health["Retries"] = check->retries;
    }
    if (!config.volumes.empty()) out["Volumes"] = keys_json(config.volumes);
    write_if(out, "WorkingDir", config.working_dir);
    write_if(out, "OnBuild", config.on_build);
    write_if(out, "Labels", config.labels);
    write_if(out, "StopSignal", config.stop_signal);
    write_if(out, "Shell", config.shell);
    return out;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view json, std::string_view media_type) {
    Json document = TRY(parse_json(json, "manifest"));
    JsonReader in{document, "manifest"};
    Manifest manifest;
    manifest.media_type = TRY(check_media_type(in, media_type, is_manifest_type));
    TRY(in.read("artifactType", manifest.artifact_type));
    manifest.config = TRY(read_descriptor(TRY(in.require("config"))));
    manifest.layers = TRY(read_descriptors(in, "layers", kMaxLayers));
    if (auto subject = in.find("subject")) manifest.subject = TRY(read_descriptor(*subject));
    manifest.annotations = TRY(read_string_map(in, "annotations"));
    return manifest;
}

Result<Index> parse_index(std::string_view json, std::string_view media_type) {
    Json document = TRY(parse_json(json, "index"));
    JsonReader in{document, "index"};
    Index index;
    index.media_type = TRY(check_media_type(in, media_type, is_index_type));
    TRY(in.read("artifactType", index.artifact_type));
    index.manifests = TRY(read_descriptors(in, "manifests", kMaxManifests));
    if (auto subject = in.find("subject")) index.subject = TRY(read_descriptor(*subject));
    index.annotations = TRY(read_string_map(in, "annotations"));
    return index;
}

Result<std::string> detect_media_type(std::string_view json) {
    Json document = TRY(parse_json(json, "manifest"));
    return media_type_of(JsonReader{document, "manifest"});
}

Result<ImageConfig> parse_image_config(std::string_view json) {
    Json document = TRY(parse_json(json, "image configuration"));
    JsonReader in{document, "image configuration"};
    TRY(in.expect_object());
    ImageConfig image;
    TRY(in.read("created", image.created));
    TRY(in.read("author", image.author));
    image.platform = TRY(read_platform(in));
    if (auto config = in.find("config")) image.config = TRY(read_defaults(*config));
    JsonReader rootfs = TRY(in.require("rootfs"));
    if (auto type = rootfs.find("type"); type && type->json() != "layers")
        return type->refuse("must be \"layers\"");
    if (auto list = rootfs.find("diff_ids")) {
        std::vector<JsonReader> elements = TRY(list->elements());
        if (elements.size() > kMaxLayers)
            return list->refuse("has more than " + std::to_string(kMaxLayers) + " entries");
        for (const JsonReader& element : elements)
            image.diff_ids.push_back(TRY(read_digest(element)));
    }
    image.history = TRY(read_history(in));
    return image;
}

std::string format_manifest(const Manifest& manifest) {
    Ordered out;
    out["schemaVersion"] = 2;
    out["mediaType"] = manifest.media_type;
    write_if(out, "artifactType", manifest.artifact_type);
    out["config"] = descriptor_json(manifest.config);
    out["layers"] = descriptors_json(manifest.layers);
    if (manifest.subject) out["subject"] = descriptor_json(*manifest.subject);
    write_if(out, "annotations", manifest.annotations);
    return dump(out);
}

std::string format_index(const Index& index) {
    Ordered out;
    out["schemaVersion"] = 2;
    out["mediaType"] = index.media_type;
    write_if(out, "artifactType", index.artifact_type);
    out["manifests"] = descriptors_json(index.manifests);
    if (index.subject) out["subject"] = descriptor_json(*index.subject);
    write_if(out, "annotations", index.annotations);
    return dump(out);
}

std::string format_image_config(const ImageConfig& image) {
    Ordered out;
    write_if(out, "created", image.created);
    write_if(out, "author", image.author);
    out.update(platform_json(image.platform));
    out["config"] = defaults_json(image.config);
    Ordered& rootfs = out["rootfs"];
    rootfs["type"] = "layers";
    rootfs["diff_ids"] = Ordered::array();
    for (const Digest& diff_id : image.diff_ids)
        rootfs["diff_ids"].push_back(diff_id.to_string());
    Ordered history = Ordered::array();
    for (const HistoryEntry& entry : image.history) {
        Ordered item = Ordered::object();
        write_if(item, "created", entry.created);
        write_if(item, "created_by", entry.created_by);
        write_if(item, "author", entry.author);
        write_if(item, "comment", entry.comment);
        if (entry.empty_layer) item["empty_layer"] = true;
        history.push_back(std::move(item));
    }
    if (!history.empty()) out["history"] = std::move(history);
    return dump(out);
}

}  // namespace hull::spec
