// Artifacts: files in a registry, alone or referring to an image.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "image/command.hpp"
#include "image/layout.hpp"
#include "image/places.hpp"
#include "layer/hash.hpp"

namespace hull::image {
namespace {

constexpr const char* kTitle = "org.opencontainers.image.title";
constexpr std::string_view kDefaultFileType = "application/octet-stream";
constexpr std::string_view kDefaultArtifactType = "application/vnd.unknown.artifact.v1";

/// A file that becomes a layer.
struct ArtifactFile {
    std::string path;
    std::string media_type;
    Fd file;
    spec::Descriptor descriptor;
};

/// "FILE" or "FILE:MEDIA/TYPE".
Result<ArtifactFile> open_artifact_file(const std::string& text) {
    ArtifactFile out;
    out.path = text;
    out.media_type = kDefaultFileType;
    size_t colon = text.rfind(':');
    if (colon != std::string::npos && !path_exists(text)) {
        out.path = text.substr(0, colon);
        out.media_type = text.substr(colon + 1);
    }
    out.file = TRY(open_path(out.path, O_RDONLY));
    struct stat info{};
    if (::fstat(out.file.get(), &info) < 0) return fail_errno(errno, "stat " + out.path);
    if (!S_ISREG(info.st_mode))
        return fail(Errc::invalid, out.path + ": is no regular file",
                    "pack a folder first: tar -czf FILE FOLDER");
    return out;
}

Result<void> describe_file(ArtifactFile& file) {
    auto hasher = layer::create_hasher(spec::DigestAlgorithm::sha256);
    layer::FileSource source{file.file.get()};
    for (;;) {
        auto bytes = TRY(with_context(source.read(), "read " + file.path));
        if (bytes.empty()) break;
        hasher->update(bytes);
        file.descriptor.size += bytes.size();
    }
    file.descriptor.digest = hasher->finish();
    file.descriptor.media_type = file.media_type;
    file.descriptor.annotations[kTitle] = base_name(file.path);
    return {};
}

Result<std::map<std::string, std::string>> parse_annotations(const ParsedArgs& args) {
    std::map<std::string, std::string> out;
    for (const auto& text : args.all("annotation")) {
        size_t equals = text.find('=');
        if (equals == 0 || equals == std::string::npos)
            return fail(Errc::invalid, "--annotation " + quote(text) + ": must be NAME=VALUE");
        out[text.substr(0, equals)] = text.substr(equals + 1);
    }
    return out;
}

/// One registry and repository, ready to be talked to.
struct Remote {
    std::shared_ptr<registry::Client> client;
    std::string repository;
};

Result<Remote> open_remote(Workshop& shop, const Place& place) {
    auto choice = TRY(shop.access().sources(place.reference)).back();
    auto client = TRY(shop.access().client(choice.host, choice.repository, choice.insecure));
    return Remote{std::move(client), choice.repository};
}

Result<Place> prepare_remote(Workshop& shop, std::string name) {
    if (!name.starts_with("docker://")) name.insert(0, "docker://");
    return shop.prepare_source(name);
}

Result<void> upload_bytes(Remote& remote, const spec::Descriptor& descriptor,
                          const std::string& bytes) {
    registry::BlobUpload upload;
    upload.descriptor = descriptor;
    upload.open = [&](uint64_t offset) -> Result<registry::BodySource> {
        auto at = std::make_shared<size_t>(static_cast<size_t>(offset));
        return registry::BodySource{[at, &bytes](std::span<char> into) -> Result<size_t> {
            size_t length = bytes.copy(into.data(), into.size(), *at);
            *at += length;
            return length;
        }};
    };
    TRY(remote.client->upload_blob(remote.repository, upload));
    return {};
}

Result<void> upload_file(Context& context, Remote& remote, const ArtifactFile& file) {
    auto& progress = context.progress();
    int item = progress.begin(base_name(file.path), file.descriptor.size);
    registry::BlobUpload upload;
    upload.descriptor = file.descriptor;
    upload.progress = [&](uint64_t sent) { progress.advance(item, sent); };
    int fd = file.file.get();
    upload.open = [fd](uint64_t offset) -> Result<registry::BodySource> {
        auto at = std::make_shared<uint64_t>(offset);
        return registry::BodySource{[fd, at](std::span<char> into) -> Result<size_t> {
            ssize_t got = ::pread(fd, into.data(), into.size(), static_cast<off_t>(*at));
            if (got < 0) return fail_errno(errno, "read the artifact's file");
            *at += static_cast<uint64_t>(got);
            return static_cast<size_t>(got);
        }};
    };
    auto outcome =
        TRY(with_context(remote.client->upload_blob(remote.repository, upload), file.path));
    bool sent = outcome == registry::UploadOutcome::uploaded;
    progress.finish(item, sent ? "done" : "already there");
    return {};
}

Result<void> push(Context& context, const ParsedArgs& args) {
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start("", ""));
    auto place = TRY(prepare_remote(shop, args.positionals[0]));
    std::vector<ArtifactFile> files;
    for (size_t i = 1; i < args.positionals.size(); ++i)
        files.push_back(TRY(open_artifact_file(args.positionals[i])));
    spec::Manifest manifest;
    manifest.artifact_type = args.get("artifact-type", kDefaultArtifactType);
    manifest.annotations = TRY(parse_annotations(args));
    TRY(shop.confine());
    auto remote = TRY(open_remote(shop, place));
    if (auto text = args.find("subject")) {
        auto subject = TRY(remote.client->head_manifest(remote.repository, *text));
        if (!subject)
            return fail(Errc::not_found,
                        "--subject " + *text + ": not found in " + place.reference.repository());
        manifest.subject = *subject;
    }
    // image-spec, "Guidelines for Artifact Usage": an empty configuration.
    const std::string empty = "{}";
    manifest.config = {std::string{spec::media::kOciEmpty}, layer::hash(empty), empty.size()};
    TRY(upload_bytes(remote, manifest.config, empty));
    for (auto& file : files) {
        TRY(describe_file(file));
        TRY(upload_file(context, remote, file));
        manifest.layers.push_back(file.descriptor);
    }
    if (files.empty()) manifest.layers.push_back(manifest.config);
    registry::ManifestData data{spec::format_manifest(manifest), manifest.media_type, {}};
    data.digest = layer::hash(data.bytes);
    bool untagged =
        manifest.subject && args.positionals[0].rfind(':') <= args.positionals[0].rfind('/');
    std::string where = untagged ? data.digest.to_string() : place.reference.tag;
    TRY(remote.client->put_manifest(remote.repository, where, data));
    context.add_result({place.reference.to_string(), data.digest.to_string(), ""});
    return Context::print(data.digest.to_string() + "\n");
}

/// A file's name as a stranger gave it: only one that stays in the folder.
Result<std::string> safe_title(const spec::Descriptor& layer) {
    auto title = layer.annotations.find(kTitle);
    std::string name = title == layer.annotations.end() ? layer.digest.hex() : title->second;
    bool bad = name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos ||
               name.find('\0') != std::string::npos || name.size() > 255;
    if (bad)
        return fail(Errc::denied, "the artifact wants a file written as " + quote(name) +
                                      ": refused, names may not leave the folder");
    return name;
}

Result<void> pull(Context& context, const ParsedArgs& args) {
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto place = TRY(prepare_remote(shop, args.positionals[0]));
    std::string folder = TRY(absolute_path(args.get("output", ".")));
    TRY(create_directories(folder));
    shop.allow_writing(folder);
    TRY(shop.confine());
    auto source = TRY(shop.open_source(place, spec::host_platform()));
    auto top = TRY(source->top_manifest());
    auto manifest =
        TRY(with_context(spec::parse_manifest(top.bytes, top.media_type), source->name()));
    for (const auto& layer : manifest.layers) {
        if (layer.media_type == spec::media::kOciEmpty) continue;
        std::string name = TRY(safe_title(layer));
        std::string path = join_path(folder, name);
        if (path_exists(path) && !args.has("force"))
            return fail(Errc::exists, path + ": is there already", "give --force to replace it");
        auto& progress = context.progress();
        int item = progress.begin(name, layer.size);
        std::string fresh = path + ".hull-" + layer.digest.short_hex();
        auto outcome = TRY(write_file_blob(fresh, layer, *source, &progress, item));
        if (::rename(fresh.c_str(), path.c_str()) < 0) {
            int code = errno;
            ::unlink(fresh.c_str());
            return fail_errno(code, "write " + path);
        }
        progress.finish(item, outcome);
        TRY(Context::print(path + "\n"));
    }
    context.add_result({place.reference.to_string(), top.digest.to_string(), ""});
    return {};
}

Result<void> list(Context& context, const ParsedArgs& args) {
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start("", ""));
    auto place = TRY(prepare_remote(shop, args.positionals[0]));
    TRY(shop.confine());
    auto remote = TRY(open_remote(shop, place));
    auto subject =
        TRY(remote.client->head_manifest(remote.repository, place.reference.tag_or_digest()));
    if (!subject)
        return fail(Errc::not_found, place.reference.to_string() + ": not found in the registry");
    auto index = TRY(
        remote.client->referrers(remote.repository, subject->digest, args.get("artifact-type")));
    if (args.get("format") == "json") return Context::print(spec::format_index(index) + "\n");
    std::string out = "DIGEST" + std::string(66, ' ') + "TYPE\n";
    for (const auto& one : index.manifests)
        out += one.digest.to_string() + " " + one.artifact_type + "\n";
    return Context::print(out);
}

}  // namespace

std::vector<Verb> artifact_verbs() {
    return {
        {"artifact push", "NAME[:TAG] [FILE[:TYPE]…]", "Store files in a registry",
         with_registry_options(
             {{"artifact-type", 0, "TYPE", "what kind of artifact it is"},
              {"subject", 0, "TAG|DIGEST", "the image in the same repository it belongs to"},
              {"annotation", 0, "NAME=VALUE", "an annotation of the manifest"},
              {"quiet", 'q', "", "show no progress"}}),
         &push, 1, 1000},
        {"artifact pull", "NAME[:TAG|@DIGEST]", "Fetch the files of an artifact",
         with_policy_options({{"output", 'o', "DIR", "folder to write to (default: here)"},
                              {"force", 0, "", "replace files that are there"},
                              {"quiet", 'q', "", "show no progress"}}),
         &pull, 1, 1},
        {"artifact ls", "NAME[:TAG|@DIGEST]", "List what refers to an image",
         with_registry_options({{"artifact-type", 0, "TYPE", "only this kind"},
                                {"format", 0, "FORMAT", "table (default) or json"}}),
         &list, 1, 1},
    };
}

}  // namespace hull::image
