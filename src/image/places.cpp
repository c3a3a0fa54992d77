#include "image/places.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/text.hpp"
#include "image/container_tree.hpp"
#include "image/layout.hpp"
#include "layer/tar.hpp"
#include "registry/lookaside.hpp"
#include "store/images.hpp"
#include "store/short_names.hpp"

namespace hull::image {
namespace {

using Transport = Location::Transport;

bool is_archive(Transport transport) {
    return transport == Transport::oci_archive || transport == Transport::docker_archive;
}

/// The transport's name in policy.json.
std::string policy_transport(Transport transport) {
    switch (transport) {
        case Transport::registry:
            return "docker";
        case Transport::store:
            return "containers-storage";
        case Transport::oci:
        case Transport::oci_archive:
            return "oci";
        case Transport::docker_archive:
            return "docker-archive";
        case Transport::folder:
            return "dir";
        case Transport::docker_daemon:
            return "docker-daemon";
    }
    return "";
}

/// Scopes of a path, most special first: "/a/b:tag", "/a/b", "/a", "/".
std::vector<std::string> path_scopes(const Location& location) {
    std::vector<std::string> out;
    if (!location.name.empty()) out.push_back(location.path + ":" + location.name);
    for (std::string path = location.path;; path = parent_path(path)) {
        out.push_back(path);
        if (path == "/" || path == ".") return out;
    }
}

/// Gathers in a layout of its own, then writes that as a tar.
class OciArchiveTarget final : public registry::ImageTarget {
  public:
    OciArchiveTarget(std::unique_ptr<registry::ImageTarget> layout, std::string folder,
                     ArchiveOutput& output)
        : layout_(std::move(layout)), folder_(std::move(folder)), output_(output) {}
    std::string name() const override { return "the archive"; }
    Result<std::string> put_blob(const spec::Descriptor& descriptor, const registry::BlobRole& role,
                                 registry::ImageSource& source, registry::Progress* progress,
                                 int item) override {
        return layout_->put_blob(descriptor, role, source, progress, item);
    }
    Result<void> put_manifest(const registry::ManifestData& manifest) override {
        return layout_->put_manifest(manifest);
    }
    Result<void> put_top(const registry::ManifestData& top,
                         const registry::ManifestData& chosen) override {
        TRY(layout_->put_top(top, chosen));
        layer::TarWriter tar{output_.sink()};
        TRY(add_folder(tar, ""));
        TRY(tar.finish());
        return output_.finish();
    }

  private:
    Result<void> add_folder(layer::TarWriter& tar, const std::string& inside) {
        for (const auto& entry : TRY(list_directory(folder_ + "/" + inside))) {
            std::string member = inside.empty() ? entry : inside + "/" + entry;
            Fd file = TRY(open_path(folder_ + "/" + member, O_RDONLY | O_NOFOLLOW));
            struct stat info{};
            if (::fstat(file.get(), &info) < 0) return fail_errno(errno, "stat " + member);
            layer::TarEntry header;
            header.name = member;
            bool is_folder = S_ISDIR(info.st_mode);
            header.type = is_folder ? layer::TarType::directory : layer::TarType::file;
            header.mode = is_folder ? 0755 : 0644;
            header.size = is_folder ? 0 : static_cast<uint64_t>(info.st_size);
            TRY(tar.add(header));
            if (is_folder) {
                TRY(add_folder(tar, member));
                continue;
            }
            layer::FileSource source{file.get()};
            for (;;) {
                auto bytes = TRY(source.read());
                if (bytes.empty()) break;
                TRY(tar.write_data(bytes));
            }
        }
        return {};
    }

    std::unique_ptr<registry::ImageTarget> layout_;
    std::string folder_;
    ArchiveOutput& output_;
};

/// Gathers an archive in a file, then gives it to docker.
class DockerTarget final : public registry::ImageTarget {
  public:
    DockerTarget(registry::Access& access, std::unique_ptr<ArchiveOutput> output, Fd archive,
                 const std::string& name, const std::string& work)
        : access_(access), output_(std::move(output)), archive_(std::move(archive)) {
        inner_ = open_archive_target(layer::ArchiveFormat::docker, name, *output_, work);
    }
    std::string name() const override { return "docker-daemon"; }
    Result<std::string> put_blob(const spec::Descriptor& descriptor, const registry::BlobRole& role,
                                 registry::ImageSource& source, registry::Progress* progress,
                                 int item) override {
        return inner_->put_blob(descriptor, role, source, progress, item);
    }
    Result<void> put_manifest(const registry::ManifestData& manifest) override {
        return inner_->put_manifest(manifest);
    }
    Result<void> put_top(const registry::ManifestData& top,
                         const registry::ManifestData& chosen) override {
        TRY(inner_->put_top(top, chosen));
        return send_to_docker(access_, archive_.get());
    }

  private:
    registry::Access& access_;
    std::unique_ptr<ArchiveOutput> output_;
    Fd archive_;
    std::unique_ptr<registry::ImageTarget> inner_;
};

}  // namespace

std::vector<OptionSpec> with_policy_options(std::vector<OptionSpec> own) {
    own.push_back({"policy", 0, "PATH", "in the place of /etc/containers/policy.json"});
    own.push_back({"registries.d", 0, "DIR", "where signatures lie, per registry"});
    return with_registry_options(std::move(own));
}

Result<StoredImage> find_stored(const store::Store& store, const std::string& text) {
    auto name = store::resolve_name(store, text);
    if (name) {
        auto entry = TRY(store.references().find(name->to_string()));
        if (entry) return StoredImage{entry->name, {entry->media_type, entry->digest, entry->size}};
    }
    auto image = TRY(store::find_image(store, text));
    auto bytes = TRY(store.blobs().read(image.digest));
    std::string shown = image.names.empty() ? image.id.to_string() : image.names.front();
    return StoredImage{shown, {TRY(spec::detect_media_type(bytes)), image.digest, bytes.size()}};
}

Result<void> Workshop::start(const std::string& policy_file, const std::string& registries_d) {
    access_ = TRY(registry::Access::create(options_));
    policy_ = TRY(registry::load_policy(policy_file));
    registries_d_ = registries_d;
    return {};
}

void Workshop::use_registry() {
    if (!uses_registry_) add_registry_paths(options_, confinement_);
    uses_registry_ = confinement_.network = true;
}

Result<void> Workshop::prepare_registry(Place& place) {
    place.reference = TRY(access_->complete(place.location.name));
    TRY(access_->prepare(place.reference));
    use_registry();
    return {};
}

Result<void> Workshop::prepare_policy(Place& place) {
    Transport transport = place.location.transport;
    if (transport == Transport::store) return {};  // what is in the store was admitted before
    bool named = transport == Transport::registry;
    auto scopes = named ? registry::docker_scopes(place.reference)
                  : transport == Transport::docker_daemon
                      ? std::vector<std::string>{place.location.name}
                      : path_scopes(place.location);
    place.policy = policy_.find(policy_transport(transport), scopes);
    if (!registry::needs_signatures(*place.policy->requirements)) return {};
    for (auto& path : registry::key_files(*place.policy->requirements))
        confinement_.read_paths.push_back(std::move(path));
    confinement_.runs_programs = true;
    if (!named) return {};
    auto map = TRY(registry::load_registries_d(registries_d_));
    place.lookaside = registry::lookaside_base(map, place.reference);
    if (place.lookaside.starts_with("file://"))
        confinement_.read_paths.push_back(place.lookaside.substr(7));
    return {};
}

Result<Place> Workshop::prepare_source(const std::string& text) {
    Place place;
    place.location = TRY(parse_location(text));
    Transport transport = place.location.transport;
    if (transport == Transport::registry) TRY(prepare_registry(place));
    if (is_archive(transport)) place.input = TRY(open_path(place.location.path, O_RDONLY));
    if (transport == Transport::oci || transport == Transport::folder)
        confinement_.read_paths.push_back(place.location.path);
    if (transport == Transport::docker_daemon) TRY(docker_socket());
    TRY(prepare_policy(place));
    return place;
}

Result<Place> Workshop::prepare_target(const std::string& text) {
    Place place;
    place.location = TRY(parse_location(text));
    Transport transport = place.location.transport;
    if (transport == Transport::registry) TRY(prepare_registry(place));
    if (transport == Transport::store) {
        place.reference = TRY(spec::parse_reference(place.location.name));
        use_layers();
    }
    if (transport == Transport::docker_daemon)
        place.reference = TRY(spec::parse_reference(place.location.name));
    if (transport == Transport::docker_archive && !place.location.name.empty())
        place.reference = TRY(spec::parse_reference(place.location.name));
    if (is_archive(transport)) {
        if (transport == Transport::docker_archive && path_exists(place.location.path))
            return fail(Errc::exists, place.location.path + ": is there already",
                        "a docker-archive cannot be added to: remove it, or choose another name");
        place.output = TRY(open_file_output(place.location.path));
        confinement_.write_folders.push_back(parent_path(place.location.path));
    }
    if (transport == Transport::oci || transport == Transport::folder) {
        TRY(create_directories(place.location.path));
        confinement_.write_folders.push_back(place.location.path);
    }
    return place;
}

size_t Workshop::use_container(std::string id) {
    containers_.push_back(std::move(id));
    return containers_.size() - 1;
}

Result<void> Workshop::confine() {
    TRY(enter_namespace({.needs_range = confinement_.unpacks}));
    store_.emplace(TRY(context_.open_store()));
    for (const auto& id : containers_) {
        container_trees_.push_back(TRY(open_container_tree(*store_, id)));
        allow_reading("/proc/self/fd/" + std::to_string(container_trees_.back().get()));
    }
    TRY(context_.confine_for_store(confinement_));
    lease_.emplace(TRY(store_->create_lease()));
    return {};
}

Result<std::string> Workshop::temporary_folder() {
    auto staged = TRY(store_->layers().create_staging());
    folders_.push_back(std::make_unique<store::StagedLayer>(std::move(staged)));
    return folders_.back()->path() + "/tree";
}

Result<void> Workshop::enforce(const Place& place, registry::ImageSource& source) {
    if (!place.policy) return {};
    std::vector<std::string> signatures;
    auto top = TRY(source.top_manifest());
    if (!place.lookaside.empty())
        signatures =
            TRY(registry::fetch_signatures(*access_, place.lookaside, place.reference, top.digest));
    spec::Reference reference = place.reference;
    if (place.location.transport != Transport::registry) {
        reference = {};
        reference.path = place.location.to_string();
    }
    return registry::enforce_policy(*place.policy, reference, top.digest, signatures);
}

Result<std::unique_ptr<registry::ImageSource>> Workshop::open_docker_source(const Place& place) {
    std::string work = TRY(temporary_folder());
    Fd file = TRY(open_path(work + "/archive", O_RDWR | O_CREAT | O_EXCL, 0600));
    TRY(fetch_from_docker(*access_, place.location.name, file.get()));
    if (::lseek(file.get(), 0, SEEK_SET) < 0) return fail_errno(errno, "read docker's archive");
    return open_archive_source(Transport::docker_archive, file.get(), place.location.name, work);
}

Result<std::unique_ptr<registry::ImageSource>> Workshop::open_source(
    Place& place, const spec::Platform& /*platform*/) {
    const Location& location = place.location;
    auto open = [&]() -> Result<std::unique_ptr<registry::ImageSource>> {
        switch (location.transport) {
            case Transport::registry:
                return registry::open_registry_source(*access_, place.reference);
            case Transport::store: {
                auto stored = TRY(find_stored(*store_, location.name));
                return registry::open_store_source(*store_, stored.name, stored.target);
            }
            case Transport::oci:
                return open_layout_source(location.path, location.name);
            case Transport::folder:
                return open_folder_source(location.path);
            case Transport::oci_archive:
            case Transport::docker_archive: {
                std::string work = TRY(temporary_folder());
                return with_context(
                    open_archive_source(location.transport, place.input.get(), location.name, work),
                    location.to_string());
            }
            case Transport::docker_daemon:
                return open_docker_source(place);
        }
        return fail(Errc::internal, "an unknown transport");
    };
    auto source = TRY(open());
    TRY(enforce(place, *source));
    return source;
}

Result<std::unique_ptr<registry::ImageTarget>> Workshop::open_target(Place& place,
                                                                     const TargetOptions& options) {
    const Location& location = place.location;
    switch (location.transport) {
        case Transport::registry:
            return registry::open_registry_target(*access_, place.reference, options.chunk_size);
        case Transport::store: {
            registry::StoreTargetOptions store_options;
            store_options.names = {place.reference.to_string()};
            store_options.unpack = options.unpack;
            store_options.explicit_platform = options.explicit_platform;
            store_options.cancelled = &Context::cancelled();
            return registry::open_store_target(*store_, *lease_, std::move(store_options));
        }
        case Transport::oci:
            return open_layout_target(location.path, location.name);
        case Transport::folder:
            return open_folder_target(location.path);
        case Transport::oci_archive: {
            std::string work = TRY(temporary_folder());
            auto layout = TRY(open_layout_target(work, location.name));
            return std::make_unique<OciArchiveTarget>(std::move(layout), work, *place.output);
        }
        case Transport::docker_archive: {
            std::string name = location.name.empty() ? "" : place.reference.to_string();
            return open_archive_target(layer::ArchiveFormat::docker, name, *place.output,
                                       TRY(temporary_folder()));
        }
        case Transport::docker_daemon: {
            std::string work = TRY(temporary_folder());
            auto output = TRY(open_file_output(work + "/archive"));
            // finish() renames; the descriptor goes on naming the file.
            std::string partial = work + "/archive.partial-" + std::to_string(::getpid());
            Fd archive = TRY(open_path(partial, O_RDONLY));
            return std::make_unique<DockerTarget>(*access_, std::move(output), std::move(archive),
                                                  place.reference.to_string(), work);
        }
    }
    return fail(Errc::internal, "an unknown transport");
}

}  // namespace hull::image
