// inspect, history, list-tags: looking at images wherever they are, without fetching layers.

#include <algorithm>

#include "base/json_io.hpp"
#include "base/printable.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "image/transfer_options.hpp"

namespace hull::image {
namespace {

/// What is read of an image to describe it.
struct Seen {
    std::string name;
    registry::ManifestData top;
    registry::ManifestData chosen;
    spec::Manifest manifest;
    std::string config_text;
    std::optional<spec::ImageConfig> config;  ///< not of artifacts
    std::optional<spec::Index> index;
};

Result<Seen> look_at(registry::ImageSource& source, const spec::Platform& platform) {
    Seen out;
    out.name = source.name();
    out.top = TRY(source.top_manifest());
    out.chosen = out.top;
    if (spec::is_index_type(out.top.media_type)) {
        out.index = TRY(spec::parse_index(out.top.bytes, out.top.media_type));
        auto chosen = TRY(with_context(spec::choose_manifest(*out.index, platform), out.name));
        out.chosen = TRY(source.manifest(chosen));
    }
    out.manifest = TRY(spec::parse_manifest(out.chosen.bytes, out.chosen.media_type));
    out.config_text = TRY(registry::read_small_blob(source, out.manifest.config));
    if (spec::is_config_type(out.manifest.config.media_type))
        out.config = TRY(with_context(spec::parse_image_config(out.config_text), out.name));
    return out;
}

Json describe_layers(const spec::Manifest& manifest) {
    Json out = Json::array();
    for (const auto& layer : manifest.layers) {
        Json one = {{"MIMEType", layer.media_type},
                    {"Digest", layer.digest.to_string()},
                    {"Size", layer.size}};
        if (!layer.annotations.empty()) one["Annotations"] = layer.annotations;
        out.push_back(std::move(one));
    }
    return out;
}

/// skopeo's form, with what else is known.
Json describe(const Seen& seen, const Place& place) {
    Json out = Json::object();
    out["Name"] = place.reference.domain.empty() ? seen.name : place.reference.repository();
    out["Digest"] = seen.top.digest.to_string();
    out["MediaType"] = seen.top.media_type;
    if (seen.index) {
        out["ManifestDigest"] = seen.chosen.digest.to_string();
        Json platforms = Json::array();
        for (const auto& entry : seen.index->manifests)
            if (entry.platform)
                platforms.push_back({{"Platform", entry.platform->to_string()},
                                     {"Digest", entry.digest.to_string()},
                                     {"Size", entry.size}});
        out["Platforms"] = std::move(platforms);
    }
    uint64_t size = seen.manifest.config.size;
    Json digests = Json::array();
    for (const auto& layer : seen.manifest.layers) {
        digests.push_back(layer.digest.to_string());
        size += layer.size;
    }
    out["Layers"] = std::move(digests);
    out["LayersData"] = describe_layers(seen.manifest);
    out["Size"] = size;
    if (!seen.manifest.annotations.empty()) out["Annotations"] = seen.manifest.annotations;
    if (!seen.manifest.artifact_type.empty()) out["ArtifactType"] = seen.manifest.artifact_type;
    if (!seen.config) return out;
    const auto& config = *seen.config;
    out["Id"] = seen.manifest.config.digest.to_string();
    out["Created"] = config.created;
    out["Architecture"] = config.platform.architecture;
    out["Os"] = config.platform.os;
    if (!config.platform.variant.empty()) out["Variant"] = config.platform.variant;
    out["Labels"] = config.config.labels;
    out["Env"] = config.config.env;
    out["Entrypoint"] = config.config.entrypoint;
    out["Cmd"] = config.config.cmd;
    out["User"] = config.config.user;
    out["WorkingDir"] = config.config.working_dir;
    out["ExposedPorts"] = config.config.exposed_ports;
    out["Volumes"] = config.config.volumes;
    return out;
}

Result<void> inspect(Context& context, const ParsedArgs& args) {
    auto platform = TRY(parse_platform_option(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto place = TRY(shop.prepare_source(args.positionals[0]));
    TRY(shop.confine());
    auto source = TRY(shop.open_source(place, platform));
    if (args.has("raw") && !args.has("config"))
        return Context::print(TRY(source->top_manifest()).bytes);
    Seen seen = TRY(look_at(*source, platform));
    if (args.has("config")) {
        if (args.has("raw")) return Context::print(seen.config_text);
        Json config = TRY(parse_json(seen.config_text, "configuration"));
        return Context::print(dump_json(config, 4) + "\n");
    }
    Json out = describe(seen, place);
    bool is_registry = place.location.transport == Location::Transport::registry;
    if (is_registry && !args.has("no-tags")) {
        auto choice = TRY(shop.access().sources(place.reference)).back();
        auto client = shop.access().client(choice.host, choice.repository, choice.insecure);
        // A registry may refuse the list to those who may pull.
        auto tags =
            client ? (*client)->list_tags(choice.repository) : Result<std::vector<std::string>>{};
        if (tags) out["RepoTags"] = *tags;
    }
    return Context::print(dump_json(out, 4) + "\n");
}

std::string one_line(std::string text, size_t width) {
    text = printable_line(text);
    if (width > 3 && text.size() > width) text = text.substr(0, width - 3) + "...";
    return text;
}

Result<void> history(Context& context, const ParsedArgs& args) {
    auto platform = TRY(parse_platform_option(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto place = TRY(shop.prepare_source(args.positionals[0]));
    TRY(shop.confine());
    auto source = TRY(shop.open_source(place, platform));
    Seen seen = TRY(look_at(*source, platform));
    if (!seen.config) return fail(Errc::invalid, seen.name + ": is an artifact; it has no history");
    Json rows = Json::array();
    std::string table = "CREATED                CREATED BY" + std::string(43, ' ') + "SIZE\n";
    size_t layer = 0;
    std::vector<std::string> lines;
    for (const auto& entry : seen.config->history) {
        uint64_t size = 0;
        std::string digest;
        if (!entry.empty_layer && layer < seen.manifest.layers.size()) {
            size = seen.manifest.layers[layer].size;
            digest = seen.manifest.layers[layer].digest.to_string();
            ++layer;
        }
        rows.push_back({{"created", entry.created},
                        {"createdBy", entry.created_by},
                        {"comment", entry.comment},
                        {"emptyLayer", entry.empty_layer},
                        {"layer", digest},
                        {"size", size}});
        std::string created = printable_line(entry.created.substr(0, 19));
        std::string by = one_line(entry.created_by.empty() ? entry.comment : entry.created_by,
                                  args.has("no-trunc") ? 0 : 50);
        created.resize(std::max<size_t>(created.size(), 21), ' ');
        by.resize(std::max<size_t>(by.size(), 51), ' ');
        lines.push_back(created + "  " + by + "  " + format_bytes({size}) + "\n");
    }
    if (args.get("format") == "json") return Context::print(dump_json(rows, 4) + "\n");
    // As docker: the newest first.
    for (auto line = lines.rbegin(); line != lines.rend(); ++line)
        table += *line;
    return Context::print(table);
}

Result<void> list_tags(Context& context, const ParsedArgs& args) {
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start("", ""));
    std::string name = args.positionals[0];
    if (name.starts_with("docker://")) name.erase(0, 9);
    auto reference = TRY(shop.access().complete(name));
    TRY(shop.access().prepare(reference));
    ConfineRequest confinement{.unpacks = false};
    add_registry_paths(TRY(parse_access_options(args)), confinement);
    TRY(enter_namespace({.needs_range = false}));
    TRY(confine(confinement));
    auto choice = TRY(shop.access().sources(reference)).back();
    auto client = TRY(shop.access().client(choice.host, choice.repository, choice.insecure));
    auto tags = TRY(client->list_tags(choice.repository));
    if (args.get("format") == "plain") return Context::print(join(tags, "\n") + "\n");
    Json out = {{"Repository", reference.repository()}, {"Tags", tags}};
    return Context::print(dump_json(out, 4) + "\n");
}

}  // namespace

std::vector<Verb> remote_verbs() {
    const OptionSpec platform{"platform", 0, "OS/ARCH[/VARIANT]", "which image of a list"};
    return {
        {"inspect", "IMAGE", "Describe an image, wherever it is, without fetching it",
         with_policy_options({platform,
                              {"raw", 0, "", "the manifest's own bytes"},
                              {"config", 0, "", "the configuration"},
                              {"no-tags", 'n', "", "do not list the repository's tags"}}),
         &inspect, 1, 1},
        {"history", "IMAGE", "Show how an image was made",
         with_policy_options({platform,
                              {"format", 0, "FORMAT", "table (default) or json"},
                              {"no-trunc", 0, "", "do not shorten commands"}}),
         &history, 1, 1},
        {"list-tags", "docker://REPOSITORY", "List the tags of a repository",
         with_registry_options({{"format", 0, "FORMAT", "json (default) or plain"}}), &list_tags, 1,
         1},
    };
}

}  // namespace hull::image
