#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "image/budget.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "image/transfer_options.hpp"
#include "registry/convert.hpp"

namespace hull::image {
namespace {

using Transport = Location::Transport;

/// What decides how one image is copied.
struct CopyChoices {
    registry::TransferOptions transfer;
    registry::ManifestFormat format = registry::ManifestFormat::keep;
    bool preserve_digests = false;
    bool has_platform = false;
    uint64_t chunk_size = 0;
};

Result<CopyChoices> parse_choices(const ParsedArgs& args) {
    CopyChoices out;
    out.transfer = TRY(parse_transfer_options(args));
    out.format = TRY(registry::parse_manifest_format(args.get("format")));
    out.preserve_digests = args.has("preserve-digests");
    out.has_platform = args.has("platform");
    if (auto text = args.find("chunk-size"))
        out.chunk_size = TRY(with_context(parse_bytes(*text), "--chunk-size")).value;
    if (out.preserve_digests && out.format != registry::ManifestFormat::keep)
        return fail(Errc::invalid, "--preserve-digests and --format cannot go together");
    return out;
}

/// An OCI layout holds OCI manifests, as skopeo writes it and umoci reads it.
registry::ManifestFormat format_for(const Location& target, const CopyChoices& choices) {
    if (choices.format != registry::ManifestFormat::keep || choices.preserve_digests)
        return choices.format;
    bool is_layout =
        target.transport == Transport::oci || target.transport == Transport::oci_archive;
    return is_layout ? registry::ManifestFormat::oci : registry::ManifestFormat::keep;
}

/// Copies one image between prepared places.
Result<registry::TransferResult> copy_one(Context& context, Workshop& shop, Place& from, Place& to,
                                          CopyChoices choices) {
    choices.transfer.progress = &context.progress();
    auto source = TRY(shop.open_source(from, choices.transfer.platform));
    bool explicit_platform = choices.has_platform && !choices.transfer.all_platforms &&
                             choices.transfer.platform != spec::host_platform();
    auto target = TRY(shop.open_target(
        to, {.explicit_platform = explicit_platform, .chunk_size = choices.chunk_size}));
    context.progress().note("copying " + source->name() + " to " + to.location.to_string());
    auto format = format_for(to.location, choices);
    if (format == registry::ManifestFormat::keep)
        return registry::transfer_image(*source, *target, choices.transfer);
    auto converted = registry::convert_source(*source, format);
    return registry::transfer_image(*converted, *target, choices.transfer);
}

void tell_result(Context& context, const Place& to, const registry::TransferResult& result) {
    context.add_result(
        {to.location.to_string(), result.top.digest.to_string(), result.config_digest.to_string()});
}

Result<void> copy(Context& context, const ParsedArgs& args) {
    auto choices = TRY(parse_choices(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto from = TRY(shop.prepare_source(args.positionals[0]));
    auto to = TRY(shop.prepare_target(args.positionals[1]));
    auto digest_file = args.find("digestfile");
    if (digest_file) shop.allow_writing(parent_path(TRY(absolute_path(*digest_file))));
    TRY(shop.confine());
    auto result = TRY(copy_one(context, shop, from, to, choices));
    std::string digest = result.top.digest.to_string();
    if (digest_file) TRY(write_file_atomically(TRY(absolute_path(*digest_file)), digest + "\n"));
    tell_result(context, to, result);
    if (to.location.transport == Transport::store) keep_to_budget(context, shop.store());
    return Context::print(digest + "\n");
}

Result<void> push(Context& context, const ParsedArgs& args) {
    auto choices = TRY(parse_choices(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start("", ""));
    std::string name = args.positionals[0];
    std::string where = args.positionals.size() > 1 ? args.positionals[1] : name;
    if (where.find("://") == std::string::npos && parse_location(where) &&
        TRY(parse_location(where)).transport == Transport::store)
        where = "docker://" + where;
    auto from = TRY(shop.prepare_source("store:" + name));
    auto to = TRY(shop.prepare_target(where));
    TRY(shop.confine());
    auto result = TRY(copy_one(context, shop, from, to, choices));
    std::string digest = result.top.digest.to_string();
    tell_result(context, to, result);
    return Context::print(digest + "\n");
}

/// The images of a sync list: one location a line; "#" begins a comment.
Result<std::vector<std::string>> read_list(const std::string& path) {
    std::vector<std::string> out;
    std::string text = TRY(read_file(path, 4U << 20U));
    for (auto line : split_lines(text)) {
        line = trim(line.substr(0, line.find('#')));
        if (line.empty()) continue;
        std::string item{line};
        if (item.find(':') == std::string::npos || !TRY(parse_location(item)).path.empty()) {
            out.push_back(item);
            continue;
        }
        bool bare = TRY(parse_location(item)).transport == Transport::store &&
                    !item.starts_with("store:") && !item.starts_with("containers-storage:");
        out.push_back(bare ? "docker://" + item : item);
    }
    return out;
}

/// Where an image of a sync goes: the target's name, then the image's own repository and tag.
Result<std::string> sync_target(const std::string& base, const spec::Reference& image,
                                bool scoped) {
    Location location = TRY(parse_location(base));
    std::string repository =
        scoped ? image.repository() : image.path.substr(image.path.rfind('/') + 1);
    // The port of a scoped name: a repository's path has no colons.
    std::replace(repository.begin(), repository.end(), ':', '-');
    std::string tag = image.tag.empty() ? image.digest->hex().substr(0, 12) : image.tag;
    if (location.transport == Transport::registry)
        return "docker://" + location.name + "/" + repository + ":" + tag;
    if (location.transport == Transport::folder)
        return "dir:" + location.path + "/" + repository + ":" + tag;
    if (location.transport == Transport::oci)
        return "oci:" + location.path + ":" + repository + ":" + tag;
    return fail(Errc::invalid, "sync to " + base + ": must be docker://, oci: or dir:");
}

/// One image of a sync that is to be copied.
struct SyncItem {
    Place from;
    Place to;
};

/// "docker://HOST/REPO" without a tag means all of its tags.
Result<std::vector<std::string>> expand(Workshop& shop, const std::string& text) {
    auto location = TRY(parse_location(text));
    std::string last = location.name.substr(location.name.rfind('/') + 1);
    bool whole =
        location.transport == Transport::registry && last.find_first_of(":@") == std::string::npos;
    if (!whole) return std::vector{text};
    auto reference = TRY(shop.access().complete(location.name));
    TRY(shop.access().prepare(reference));
    auto choice = TRY(shop.access().sources(reference)).back();
    auto client = TRY(shop.access().client(choice.host, choice.repository, choice.insecure));
    std::vector<std::string> out;
    for (const auto& tag : TRY(client->list_tags(choice.repository)))
        out.push_back("docker://" + reference.repository() + ":" + tag);
    return out;
}

Result<void> sync(Context& context, const ParsedArgs& args) {
    auto choices = TRY(parse_choices(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    std::vector<std::string> wanted;
    for (size_t i = 0; i + 1 < args.positionals.size(); ++i) {
        const std::string& word = args.positionals[i];
        bool is_list = word.find(':') == std::string::npos;
        for (auto& one : is_list ? TRY(read_list(word)) : std::vector{word})
            for (auto& expanded : TRY(expand(shop, one)))
                wanted.push_back(std::move(expanded));
    }
    std::vector<SyncItem> items;
    for (const auto& one : wanted) {
        auto from = TRY(shop.prepare_source(one));
        if (from.location.transport != Transport::registry)
            return fail(Errc::invalid, "sync from " + one + ": must be docker://");
        auto where = TRY(sync_target(args.positionals.back(), from.reference, args.has("scoped")));
        auto to = TRY(shop.prepare_target(where));
        items.push_back({std::move(from), std::move(to)});
    }
    TRY(shop.confine());
    size_t failed = 0;
    for (auto& item : items) {
        auto result = copy_one(context, shop, item.from, item.to, choices);
        if (result) {
            tell_result(context, item.to, *result);
            continue;
        }
        if (!args.has("keep-going") || result.error().code == Errc::cancelled)
            return fail(std::move(result).error());
        ++failed;
        context.progress().note(item.from.location.to_string() + ": " + result.error().to_string());
    }
    TRY(Context::print("synchronised " + std::to_string(items.size() - failed) + " of " +
                       std::to_string(items.size()) + " images\n"));
    if (failed > 0)
        return fail(Errc::io, std::to_string(failed) + " images could not be copied; see above");
    return {};
}

std::vector<OptionSpec> copy_options(std::vector<OptionSpec> own) {
    auto shared = transfer_options();
    own.insert(own.begin(), shared.begin(), shared.end());
    own.push_back({"format", 'f', "FORMAT", "manifests as oci or v2s2 (default: as they are)"});
    own.push_back({"preserve-digests", 0, "", "fail rather than change a manifest"});
    own.push_back({"chunk-size", 0, "SIZE", "upload blobs in pieces of this size"});
    return own;
}

}  // namespace

std::vector<Verb> copy_verbs() {
    constexpr std::string_view kPlaces =
        "SOURCE TARGET   (docker://, store:, oci:, oci-archive:, docker-archive:, dir:, "
        "docker-daemon:)";
    return {
        {"copy", kPlaces, "Copy an image from one place to another",
         with_policy_options(copy_options({{"digestfile", 0, "PATH", "write the digest there"}})),
         &copy, 2, 2},
        {"push", "NAME [TARGET]", "Send an image to a registry",
         with_registry_options(copy_options({})), &push, 1, 2},
        {"sync", "LIST|docker://REPOSITORY… TARGET", "Mirror images, by a list or all tags",
         with_policy_options(
             copy_options({{"scoped", 0, "", "keep the whole source name in the target's"},
                           {"keep-going", 0, "", "go on after an image that fails"}})),
         &sync, 2, 1000},
    };
}

}  // namespace hull::image
