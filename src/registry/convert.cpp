#include "registry/convert.hpp"

#include <array>
#include <map>
#include <mutex>

#include "base/text.hpp"
#include "layer/hash.hpp"

namespace hull::registry {
namespace {

using namespace spec::media;

struct TypePair {
    std::string_view oci;
    std::string_view docker;
};
constexpr std::array kTypes{
    TypePair{kOciIndex, kDockerList},          TypePair{kOciManifest, kDockerManifest},
    TypePair{kOciConfig, kDockerConfig},       TypePair{kOciLayer, kDockerLayer},
    TypePair{kOciLayerGzip, kDockerLayerGzip}, TypePair{kOciLayerZstd, kDockerLayerZstd},
};

Result<std::string> convert_type(const std::string& type, ManifestFormat format) {
    for (const auto& pair : kTypes) {
        if (type != pair.oci && type != pair.docker) continue;
        if (format == ManifestFormat::docker && pair.oci == kOciLayerZstd)
            return fail(Errc::unsupported, "docker's manifest format knows no zstd layers",
                        "write it as OCI: --format oci");
        return std::string{format == ManifestFormat::oci ? pair.oci : pair.docker};
    }
    return type;
}

ManifestData finish(std::string bytes, std::string media_type) {
    ManifestData out{std::move(bytes), std::move(media_type), {}};
    out.digest = layer::hash(out.bytes);
    return out;
}

class ConvertingSource final : public ImageSource {
  public:
    ConvertingSource(ImageSource& inner, ManifestFormat format) : inner_(inner), format_(format) {}

    std::string name() const override { return inner_.name(); }
    Result<ManifestData> top_manifest() override { return convert(TRY(inner_.top_manifest())); }
    Result<ManifestData> manifest(const spec::Descriptor& descriptor) override {
        std::lock_guard lock{mutex_};
        auto known = converted_.find(descriptor.digest);
        if (known != converted_.end()) return known->second;
        return inner_.manifest(descriptor);
    }
    Result<std::unique_ptr<BlobReader>> open_blob(const spec::Descriptor& descriptor,
                                                  uint64_t offset) override {
        return inner_.open_blob(descriptor, offset);
    }
    std::optional<RegistryPlace> registry_place() const override { return inner_.registry_place(); }

  private:
    Result<ManifestData> convert(const ManifestData& data) {
        if (!spec::is_index_type(data.media_type)) return convert_manifest(data, format_);
        auto index = TRY(spec::parse_index(data.bytes, data.media_type));
        index.media_type = TRY(convert_type(index.media_type, format_));
        for (auto& entry : index.manifests) {
            ManifestData one = TRY(convert(TRY(inner_.manifest(entry))));
            entry.media_type = one.media_type;
            entry.digest = one.digest;
            entry.size = one.bytes.size();
            std::lock_guard lock{mutex_};
            converted_[one.digest] = std::move(one);
        }
        return finish(spec::format_index(index), index.media_type);
    }

    ImageSource& inner_;
    ManifestFormat format_;
    std::mutex mutex_;
    std::map<spec::Digest, ManifestData> converted_;
};

}  // namespace

Result<ManifestFormat> parse_manifest_format(const std::string& text) {
    if (text.empty()) return ManifestFormat::keep;
    if (text == "oci") return ManifestFormat::oci;
    if (text == "v2s2" || text == "docker") return ManifestFormat::docker;
    return fail(Errc::invalid, "--format " + quote(text) + ": unknown", "oci or v2s2");
}

Result<ManifestData> convert_manifest(const ManifestData& data, ManifestFormat format) {
    if (format == ManifestFormat::keep) return data;
    auto manifest = TRY(spec::parse_manifest(data.bytes, data.media_type));
    if (manifest.is_docker() == (format == ManifestFormat::docker)) return data;
    bool is_image = spec::is_config_type(manifest.config.media_type);
    if (format == ManifestFormat::docker && (!is_image || manifest.subject))
        return fail(Errc::unsupported, "docker's manifest format knows no artifacts",
                    "write it as OCI: --format oci");
    manifest.media_type = TRY(convert_type(manifest.media_type, format));
    manifest.config.media_type = TRY(convert_type(manifest.config.media_type, format));
    for (auto& layer : manifest.layers)
        layer.media_type = TRY(convert_type(layer.media_type, format));
    if (format == ManifestFormat::docker) manifest.annotations.clear();
    return finish(spec::format_manifest(manifest), manifest.media_type);
}

std::unique_ptr<ImageSource> convert_source(ImageSource& inner, ManifestFormat format) {
    return std::make_unique<ConvertingSource>(inner, format);
}

}  // namespace hull::registry
