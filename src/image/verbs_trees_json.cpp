// diff, unpack, repack: what is in images, file by file.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>

#include "base/file.hpp"
#include "base/json_io.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "image/budget.hpp"
#include "image/command.hpp"
#include "image/container_tree.hpp"
#include "image/places.hpp"
#include "image/trees.hpp"
#include "layer/difference.hpp"
#include "layer/hash.hpp"
#include "layer/receive.hpp"
#include "spec/runtime_defaults.hpp"
#include "spec/runtime_json.hpp"

namespace hull::image {
namespace {

constexpr std::string_view kRecordName = "hull-image.json";

/// One side of a diff: an image, a folder on disk, or a container.
struct Side {
    std::string folder;  ///< absolute; empty: no folder
    std::optional<size_t> container;
    Place place;
    bool is_image() const { return folder.empty() && !container; }
};

Result<Side> prepare_side(Workshop& shop, const std::string& text) {
    Side out;
    struct stat info{};
    bool looks_like_path = text.starts_with('/') || text.starts_with('.');
    if (looks_like_path && ::stat(text.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
        out.folder = TRY(absolute_path(text));
        shop.allow_reading(out.folder);
        return out;
    }
    if (text.starts_with(kContainerPrefix)) {
        out.container = shop.use_container(text.substr(kContainerPrefix.size()));
        return out;
    }
    out.place = TRY(shop.prepare_source(text));
    return out;
}

/// A side's files on disk, and its configuration as JSON.
struct OpenSide {
    Fd root;
    Json config = Json::object();
};

Result<OpenSide> open_side(Context& context, Workshop& shop, Side& side,
                           const spec::Platform& platform) {
    OpenSide out;
    if (!side.folder.empty()) {
        out.root = TRY(open_path(side.folder, O_RDONLY | O_DIRECTORY));
        return out;
    }
    if (side.container) {
        out.root = TRY(open_at(shop.container(*side.container), ".", O_RDONLY | O_DIRECTORY));
        return out;
    }
    auto source = TRY(shop.open_source(side.place, platform));
    auto view = TRY(read_image_view(*source, platform));
    std::string folder = TRY(shop.temporary_folder());
    out.root = TRY(open_path(folder, O_RDONLY | O_DIRECTORY));
    TRY(unpack_image(*source, view, out.root.get(), &context.progress()));
    auto text = TRY(registry::read_small_blob(*source, view.manifest.config));
    Json document = TRY(parse_json(text, "configuration"));
    if (document.contains("config") && document["config"].is_object())
        out.config = document["config"];
    return out;
}

const char* kind_name(TreeChange::Kind kind) {
    return kind == TreeChange::Kind::added     ? "added"
           : kind == TreeChange::Kind::removed ? "removed"
                                               : "changed";
}

Json describe_changes(const std::vector<TreeChange>& changes) {
    Json out = {{"added", Json::array()}, {"removed", Json::array()}, {"changed", Json::array()}};
    for (const auto& one : changes) {
        Json entry = {{"path", "/" + one.path}, {"type", one.type}};
        if (one.kind != TreeChange::Kind::added) entry["sizeBefore"] = one.size_before;
        if (one.kind != TreeChange::Kind::removed) entry["sizeAfter"] = one.size_after;
        if (!one.fields.empty()) entry["fields"] = one.fields;
        out[kind_name(one.kind)].push_back(std::move(entry));
    }
    return out;
}

Json compare_configs(const Json& before, const Json& after) {
    Json out = Json::object();
    std::vector<std::string> keys;
    for (const auto* side : {&before, &after})
        for (const auto& item : side->items())
            keys.push_back(item.key());
    for (const auto& key : keys) {
        Json was = before.contains(key) ? before[key] : Json{};
        Json is = after.contains(key) ? after[key] : Json{};
        if (was != is) out[key] = {{"before", was}, {"after", is}};
    }
    return out;
}

std::string format_changes(const std::vector<TreeChange>& changes, const Json& configuration) {
    std::string out;
    uint64_t added = 0;
    uint64_t removed = 0;
    for (const auto& one : changes) {
        const char* letter = one.kind == TreeChange::Kind::added     ? "A"
                             : one.kind == TreeChange::Kind::removed ? "D"
                                                                     : "C";
        std::string shown = quote("/" + one.path);
        out += std::string{letter} + " " + shown.substr(1, shown.size() - 2);
        if (one.type == "file" && one.kind != TreeChange::Kind::changed)
            out += "  " + format_bytes({one.size_before + one.size_after});
        if (!one.fields.empty()) out += "  (" + join(one.fields, ", ") + ")";
        out += "\n";
        added += one.size_after;
        removed += one.size_before;
    }
    for (const auto& item : configuration.items())
        out += "configuration " + item.key() + ": " + dump_json(item.value()["before"]) + " -> " +
               dump_json(item.value()["after"]) + "\n";
    if (out.empty()) return "no difference\n";
    return out + std::to_string(changes.size()) + " paths, " + format_bytes({removed}) + " -> " +
           format_bytes({added}) + "\n";
}

Result<void> diff(Context& context, const ParsedArgs& args) {
    auto platform = TRY(parse_platform_option(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto before = TRY(prepare_side(shop, args.positionals[0]));
    auto after = TRY(prepare_side(shop, args.positionals[1]));
    shop.use_unpacking();
    TRY(shop.confine());
    auto first = TRY(open_side(context, shop, before, platform));
    auto second = TRY(open_side(context, shop, after, platform));
    auto changes = TRY(compare_trees(first.root.get(), second.root.get()));
    bool both_images = before.is_image() && after.is_image();
    Json configuration =
        both_images ? compare_configs(first.config, second.config) : Json::object();
    if (args.get("format") != "json") return Context::print(format_changes(changes, configuration));
    Json out = describe_changes(changes);
    out["configuration"] = std::move(configuration);
    return Context::print(dump_json(out, 4) + "\n");
}

/// "1000:100" of the image's USER, when it is numeric; names need the image's own files.
spec::User numeric_user(const std::string& text) {
    spec::User out;
    size_t colon = text.find(':');
    auto uid = parse_number<uint32_t>(std::string_view{text}.substr(0, colon));
    if (!uid) return out;
    out.uid = *uid;
    if (colon != std::string::npos)
        if (auto gid = parse_number<uint32_t>(std::string_view{text}.substr(colon + 1)))
            out.gid = *gid;
    return out;
}

spec::RuntimeConfig make_config(const spec::ImageConfig& image) {
    auto out = spec::default_runtime_config();
    const auto& wanted = image.config;
    if (!out.process) out.process.emplace();
    auto& process = *out.process;
    process.args = wanted.entrypoint;
    process.args.insert(process.args.end(), wanted.cmd.begin(), wanted.cmd.end());
    if (process.args.empty()) process.args = {"sh"};
    if (!wanted.env.empty()) process.env = wanted.env;
    if (!wanted.working_dir.empty()) process.cwd = wanted.working_dir;
    process.user = numeric_user(wanted.user);
    process.terminal = false;
    return out;
}

Result<void> unpack(Context& context, const ParsedArgs& args) {
    auto platform = TRY(parse_platform_option(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto place = TRY(shop.prepare_source(args.positionals[0]));
    std::string bundle = TRY(absolute_path(args.positionals[1]));
    TRY(create_directories(bundle));
    if (!TRY(list_directory(bundle)).empty())
        return fail(Errc::exists, bundle + ": is not empty", "give a new folder");
    shop.allow_writing(bundle);
    shop.use_unpacking();
    TRY(shop.confine());
    auto source = TRY(shop.open_source(place, platform));
    auto view = TRY(read_image_view(*source, platform));
    std::string root_path = bundle + "/rootfs";
    if (::mkdir(root_path.c_str(), 0755) < 0) return fail_errno(errno, "create " + root_path);
    Fd root = TRY(open_path(root_path, O_RDONLY | O_DIRECTORY));
    auto unpacked = unpack_image(*source, view, root.get(), &context.progress());
    if (!unpacked) {
        (void)remove_tree(root_path);
        return unpacked;
    }
    TRY(write_file_atomically(bundle + "/config.json",
                              spec::format_runtime_config(make_config(view.config), 2) + "\n"));
    Json record = {{"source", place.location.to_string()},
                   {"platform", view.config.platform.to_string()},
                   {"manifest", view.data.digest.to_string()}};
    TRY(save_json(bundle + "/" + std::string{kRecordName}, record));
    context.add_result({place.location.to_string(), view.data.digest.to_string(),
                        view.manifest.config.digest.to_string()});
    return Context::print(bundle + "\n");
}

/// What unpack wrote beside config.json.
struct BundleRecord {
    std::string source;
    spec::Platform platform;
    std::string manifest;
};

Result<BundleRecord> read_record(const std::string& bundle) {
    std::string path = bundle + "/" + std::string{kRecordName};
    auto document = load_json(path);
    if (!document)
        return fail(
            std::move(document).error().with_hint("make the bundle with: hull image unpack"));
    JsonReader reader{*document, std::string{kRecordName}};
    TRY(reader.expect_object());
    BundleRecord out;
    out.source = TRY(TRY(reader.require("source")).as_string());
    out.manifest = TRY(TRY(reader.require("manifest")).as_string());
    out.platform = TRY(spec::parse_platform(TRY(TRY(reader.require("platform")).as_string())));
    return out;
}

/// The layer that makes the image's files into the bundle's.
Result<layer::NewLayer> make_layer(Context& context, Workshop& shop, registry::ImageSource& source,
                                   const ImageView& view, const std::string& rootfs,
                                   layer::Compression compression) {
    std::string work = TRY(shop.temporary_folder());
    Fd before = TRY(open_path(work, O_RDONLY | O_DIRECTORY));
    TRY(unpack_image(source, view, before.get(), &context.progress()));
    Fd after = TRY(open_path(rootfs, O_RDONLY | O_DIRECTORY));
    Fd archive = TRY(
        open_path(TRY(shop.temporary_folder()) + "/layer.tar", O_RDWR | O_CREAT | O_EXCL, 0600));
    layer::FileSink sink{archive.get()};
    TRY(layer::write_changes({before.get(), after.get(), true}, sink));
    if (::lseek(archive.get(), 0, SEEK_SET) < 0) return fail_errno(errno, "read the new layer");
    layer::FileSource tar{archive.get()};
    layer::NewLayerRequest request;
    request.recompress = compression;
    return layer::receive_new_layer(shop.store(), shop.lease(), tar, request);
}

/// Writes the image with one more layer into the store.
Result<registry::ManifestData> add_layer(Workshop& shop, const ImageView& view,
                                         const layer::NewLayer& layer, const ParsedArgs& args) {
    auto config = view.config;
    config.created = format_timestamp(std::chrono::system_clock::now());
    config.diff_ids.push_back(layer.result.diff_id);
    config.history.push_back({config.created, args.get("created-by", "hull image repack"),
                              args.get("author"), args.get("message"), false});
    auto manifest = view.manifest;
    std::string text = spec::format_image_config(config);
    manifest.config = {manifest.config.media_type, layer::hash(text), text.size()};
    auto descriptor = layer.descriptor;
    if (manifest.is_docker())
        descriptor.media_type = descriptor.media_type == spec::media::kOciLayer
                                    ? spec::media::kDockerLayer
                                    : spec::media::kDockerLayerGzip;
    manifest.layers.push_back(std::move(descriptor));
    TRY(shop.lease().add(manifest.config.digest));
    TRY(shop.store().blobs().put(manifest.config.digest, text));
    registry::ManifestData data{spec::format_manifest(manifest), manifest.media_type, {}};
    data.digest = layer::hash(data.bytes);
    return data;
}

Result<void> repack(Context& context, const ParsedArgs& args) {
    std::string bundle = TRY(absolute_path(args.positionals[0]));
    auto record = TRY(read_record(bundle));
    auto compression = TRY(layer::parse_compression(args.get("compression", "gzip")));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto from = TRY(shop.prepare_source(record.source));
    auto to = TRY(shop.prepare_target("store:" + args.positionals[1]));
    shop.allow_reading(bundle);
    TRY(shop.confine());
    auto source = TRY(shop.open_source(from, record.platform));
    auto view = TRY(read_image_view(*source, record.platform));
    if (view.data.digest.to_string() != record.manifest)
        return fail(Errc::conflict,
                    record.source + " is another image now than the one that was unpacked",
                    "unpack it again, or copy the older one by its digest " + record.manifest);
    if (view.manifest.is_docker() && compression == layer::Compression::zstd)
        return fail(Errc::unsupported, "docker's manifest format knows no zstd layers",
                    "copy the image as OCI first: hull image copy --format oci");
    auto layer = TRY(make_layer(context, shop, *source, view, bundle + "/rootfs", compression));
    auto data = TRY(add_layer(shop, view, layer, args));
    registry::StoreTargetOptions base_options;
    auto base = registry::open_store_target(shop.store(), shop.lease(), base_options);
    registry::TransferOptions transfer;
    transfer.platform = record.platform;
    transfer.progress = &context.progress();
    transfer.cancelled = &Context::cancelled();
    TRY(registry::transfer_image(*source, *base, transfer));
    auto target = TRY(shop.open_target(to, {}));
    TRY(target->put_top(data, data));
    context.add_result({to.reference.to_string(), data.digest.to_string(), ""});
    keep_to_budget(context, shop.store());
    return Context::print(data.digest.to_string() + "\n");
}

}  // namespace

std::vector<Verb> tree_verbs() {
    const OptionSpec platform{"platform", 0, "OS/ARCH[/VARIANT]", "which image of a list"};
    const OptionSpec quiet{"quiet", 'q', "", "show no progress"};
    return {
        {"diff", "IMAGE|FOLDER|container:NAME IMAGE|FOLDER|container:NAME",
         "List files and settings that differ between images, folders and containers",
         with_policy_options({platform, quiet, {"format", 0, "FORMAT", "text (default) or json"}}),
         &diff, 2, 2},
        {"unpack", "IMAGE BUNDLE", "Make an OCI bundle of an image: rootfs and config.json",
         with_policy_options({platform, quiet}), &unpack, 2, 2},
        {"repack", "BUNDLE NAME[:TAG]", "Make an image of a changed bundle, with one more layer",
         with_policy_options({quiet,
                              {"message", 'm', "TEXT", "comment in the history"},
                              {"author", 0, "TEXT", "author in the history"},
                              {"created-by", 0, "TEXT", "what made the layer"},
                              {"compression", 0, "KIND", "gzip (default), zstd or none"}}),
         &repack, 2, 2},
    };
}

}  // namespace hull::image
