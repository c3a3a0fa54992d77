#include <algorithm>

#include "base/json_io.hpp"
#include "layer/hash.hpp"
#include "registry/client.hpp"

namespace hull::registry {
namespace {

constexpr size_t kMaxPage = 4U << 20U;
constexpr size_t kMaxNames = 1'000'000;
constexpr int kMaxPages = 10'000;

Scopes pull_scope(const std::string& repository) {
    return {"repository:" + repository + ":pull"};
}

}  // namespace

Result<std::vector<std::string>> Client::list_pages(std::string url, const Scopes& scopes,
                                                    std::string_view member,
                                                    const std::string& what) {
    std::vector<std::string> out;
    for (int page = 0; page < kMaxPages; ++page) {
        HttpRequest request;
        request.url = url;
        HttpAnswer answer = TRY(session_->send(request, scopes, kMaxPage));
        if (answer.head.status == 404)
            return fail(Errc::not_found, what + ": not found in the registry", "check the name");
        if (!answer.head.ok())
            return fail(Errc::io, what + ": the registry answered with status " +
                                      std::to_string(answer.head.status));
        Json document = TRY(parse_json(answer.body, "answer of " + url));
        JsonReader reader{document, ""};
        TRY(reader.expect_object());
        if (auto names = reader.find(member))
            for (auto& one : TRY(names->as_strings()))
                out.push_back(std::move(one));
        auto link = answer.head.header("Link");
        auto next = link ? parse_next_link(*link) : std::nullopt;
        if (!next) return out;
        std::string target = TRY(resolve_url(answer.head.url, *next));
        UrlParts here = TRY(parse_url(answer.head.url));
        UrlParts there = TRY(with_context(parse_url(target), what + ": next page"));
        if (here.scheme != there.scheme || here.authority != there.authority)
            return fail(Errc::denied, what + ": the next page is on another host (" + target + ")");
        if (target == url || out.size() > kMaxNames) break;
        url = std::move(target);
    }
    return fail(Errc::corrupt, what + ": the list of names has no end");
}

Result<std::vector<std::string>> Client::list_tags(const std::string& repository) {
    auto tags = TRY(list_pages(base_ + repository + "/tags/list", pull_scope(repository), "tags",
                               host_ + "/" + repository));
    return tags;
}

Result<std::vector<std::string>> Client::list_repositories() {
    return list_pages(base_ + "_catalog", {"registry:catalog:*"}, "repositories", host_);
}

Result<spec::Index> Client::referrers(const std::string& repository, const spec::Digest& subject,
                                      const std::string& artifact_type) {
    HttpRequest request;
    request.url = base_ + repository + "/referrers/" + subject.to_string();
    if (!artifact_type.empty()) request.url += "?artifactType=" + url_escape(artifact_type);
    HttpAnswer answer = TRY(session_->send(request, pull_scope(repository), kMaxPage));
    spec::Index out;
    std::string type = answer.head.header("Content-Type").value_or("");
    bool has_endpoint =
        answer.head.status == 200 && type.starts_with(std::string{spec::media::kOciIndex});
    if (has_endpoint) {
        out = TRY(spec::parse_index(answer.body));
    } else {
        // distribution-spec, "Unavailable Referrers API": the list is kept under a tag.
        auto listed = get_manifest(repository, referrers_tag(subject));
        if (!listed && listed.error().code != Errc::not_found)
            return fail(std::move(listed).error());
        if (listed) out = TRY(spec::parse_index(listed->bytes, listed->media_type));
    }
    if (!artifact_type.empty())
        std::erase_if(out.manifests, [&](const spec::Descriptor& one) {
            return one.artifact_type != artifact_type;
        });
    return out;
}

Result<void> Client::add_fallback_referrer(const std::string& repository,
                                           const spec::Digest& subject,
                                           const ManifestData& manifest) {
    std::string tag = referrers_tag(subject);
    spec::Index index;
    auto listed = get_manifest(repository, tag);
    if (!listed && listed.error().code != Errc::not_found) return fail(std::move(listed).error());
    if (listed) index = TRY(spec::parse_index(listed->bytes, listed->media_type));
    spec::Descriptor entry{manifest.media_type, manifest.digest, manifest.bytes.size()};
    if (spec::is_index_type(manifest.media_type)) {
        auto parsed = TRY(spec::parse_index(manifest.bytes, manifest.media_type));
        entry.artifact_type = parsed.artifact_type;
        entry.annotations = parsed.annotations;
    } else {
        auto parsed = TRY(spec::parse_manifest(manifest.bytes, manifest.media_type));
        entry.artifact_type =
            parsed.artifact_type.empty() ? parsed.config.media_type : parsed.artifact_type;
        entry.annotations = parsed.annotations;
    }
    bool known = std::any_of(index.manifests.begin(), index.manifests.end(),
                             [&](const auto& one) { return one.digest == entry.digest; });
    if (known) return {};
    index.manifests.push_back(std::move(entry));
    ManifestData data{spec::format_index(index), std::string{spec::media::kOciIndex}, {}};
    data.digest = layer::hash(data.bytes);
    return put_manifest(repository, tag, data);
}

}  // namespace hull::registry
