#include "registry/client.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "layer/hash.hpp"

namespace hull::registry {
namespace {

constexpr size_t kMaxManifest = 4U << 20U;  // distribution-spec: registries take at least this much
constexpr size_t kMaxErrorBody = 64U << 10U;
constexpr uint64_t kEnoughAfterTimeout = 1U << 20U;  ///< bytes that make up for a timeout

std::string accepted_types() {
    using namespace spec::media;
    std::string out;
    for (auto type : {kOciIndex, kDockerList, kOciManifest, kDockerManifest})
        out += (out.empty() ? "" : ", ") + std::string{type};
    // Schema 1 is asked for last, so that the refusal can say what the image is.
    return out + ", application/vnd.docker.distribution.manifest.v1+prettyjws";
}

Scopes pull_scope(const std::string& repository) {
    return {"repository:" + repository + ":pull"};
}
Scopes push_scope(const std::string& repository) {
    return {"repository:" + repository + ":pull,push"};
}

/// What "docker.io" answers to.
std::string network_host(const std::string& host) {
    return host == "docker.io" || host == "index.docker.io" ? "registry-1.docker.io" : host;
}

tl::unexpected<Error> unexpected_status(const std::string& what, int status,
                                        const std::string& body) {
    std::string reason = describe_error_body(body);
    std::string message = what + ": the registry answered with status " + std::to_string(status) +
                          (reason.empty() ? "" : " (" + reason + ")");
    Errc code = status == 404   ? Errc::not_found
                : status == 405 ? Errc::unsupported
                : status == 413 ? Errc::invalid
                                : Errc::io;
    return fail(code, message, status == 429 ? "too many requests: try again later" : "");
}

/// "application/json; charset=utf-8" -> "application/json".
std::string media_type_of(const ResponseHead& head) {
    std::string value = head.header("Content-Type").value_or("");
    return std::string{trim(std::string_view{value}.substr(0, value.find(';')))};
}

bool speaks_no_tls(const Error& error) {
    return error.code == Errc::unsupported;
}

}  // namespace

Result<std::shared_ptr<Client>> Client::connect(const ClientRequest& request) {
    std::string host = network_host(request.host);
    auto session = std::make_shared<Session>(request.fetcher, request.host, request.credential);
    std::string base = "https://" + host + "/v2/";
    auto head = session->probe(base);
    if (!head && request.may_use_plain_http && speaks_no_tls(head.error())) {
        base = "http://" + host + "/v2/";
        head = session->probe(base);
    }
    if (!head) return fail(std::move(head).error());
    int status = head->status;
    if (status != 200 && status != 401 && status != 403 && status != 404)
        return fail(Errc::io, base + ": status " + std::to_string(status) + ", this is no registry",
                    "check the host and the port");
    return std::shared_ptr<Client>(new Client(std::move(session), request.host, std::move(base)));
}

std::string Client::manifest_url(const std::string& repository,
                                 const std::string& reference) const {
    return base_ + repository + "/manifests/" + reference;
}

std::string Client::blob_url(const std::string& repository, const spec::Digest& digest) const {
    return base_ + repository + "/blobs/" + digest.to_string();
}

std::string Client::name(const std::string& repository, const std::string& reference) const {
    bool is_digest = reference.find(':') != std::string::npos;
    return host_ + "/" + repository + (is_digest ? "@" : ":") + reference;
}

Result<ManifestData> Client::get_manifest(const std::string& repository,
                                          const std::string& reference) {
    HttpRequest request;
    request.url = manifest_url(repository, reference);
    request.headers.push_back({"Accept", accepted_types()});
    std::string what = name(repository, reference);
    auto answer = with_context(session_->send(request, pull_scope(repository), kMaxManifest), what);
    if (!answer) return fail(std::move(answer).error());
    if (answer->head.status == 404)
        return fail(Errc::not_found, what + ": not found in the registry",
                    "check the name and the tag: hull image list-tags docker://" + host_ + "/" +
                        repository);
    if (!answer->head.ok()) return unexpected_status(what, answer->head.status, answer->body);
    ManifestData out{std::move(answer->body), media_type_of(answer->head), {}};
    auto wanted = spec::Digest::parse(reference);
    out.digest =
        layer::hash(out.bytes, wanted ? wanted->algorithm() : spec::DigestAlgorithm::sha256);
    if (wanted && out.digest != *wanted)
        return fail(Errc::corrupt, what + ": the registry sent other content, with digest " +
                                       out.digest.to_string());
    auto told = answer->head.header("Docker-Content-Digest");
    auto told_digest = told ? spec::Digest::parse(*told) : fail(Errc::not_found, "");
    if (told_digest && told_digest->algorithm() == out.digest.algorithm() &&
        *told_digest != out.digest)
        return fail(Errc::corrupt, what + ": the registry says the digest is " + *told +
                                       ", but it is " + out.digest.to_string());
    return out;
}

Result<std::optional<spec::Descriptor>> Client::head_manifest(const std::string& repository,
                                                              const std::string& reference) {
    HttpRequest request;
    request.method = "HEAD";
    request.url = manifest_url(repository, reference);
    request.headers.push_back({"Accept", accepted_types()});
    HttpAnswer answer = TRY(session_->send(request, pull_scope(repository), kMaxErrorBody));
    if (answer.head.status == 404) return std::nullopt;
    if (!answer.head.ok())
        return unexpected_status(name(repository, reference), answer.head.status, answer.body);
    spec::Descriptor out;
    out.media_type = media_type_of(answer.head);
    out.size = answer.head.content_length().value_or(0);
    if (auto told = answer.head.header("Docker-Content-Digest"))
        if (auto digest = spec::Digest::parse(*told)) out.digest = *digest;
    if (out.digest.is_empty()) {  // the header is optional
        ManifestData data = TRY(get_manifest(repository, reference));
        out = {data.media_type, data.digest, data.bytes.size()};
    }
    return out;
}

Result<void> Client::put_manifest(const std::string& repository, const std::string& reference,
                                  const ManifestData& manifest) {
    HttpRequest request;
    request.method = "PUT";
    request.url = manifest_url(repository, reference);
    request.headers.push_back({"Content-Type", manifest.media_type});
    request.body = manifest.bytes;
    HttpAnswer answer = TRY(session_->send(request, push_scope(repository), kMaxErrorBody));
    std::string what = "push " + name(repository, reference);
    if (!answer.head.ok()) return unexpected_status(what, answer.head.status, answer.body);
    auto told = answer.head.header("Docker-Content-Digest");
    auto told_digest = told ? spec::Digest::parse(*told) : fail(Errc::not_found, "");
    if (told_digest && told_digest->algorithm() == manifest.digest.algorithm() &&
        *told_digest != manifest.digest)
        return fail(Errc::corrupt, what + ": the registry stored it as " + *told + ", not as " +
                                       manifest.digest.to_string());
    if (answer.head.header("OCI-Subject")) return {};
    std::optional<spec::Descriptor> subject;
    if (spec::is_index_type(manifest.media_type))
        subject = TRY(spec::parse_index(manifest.bytes, manifest.media_type)).subject;
    else
        subject = TRY(spec::parse_manifest(manifest.bytes, manifest.media_type)).subject;
    if (subject) return add_fallback_referrer(repository, subject->digest, manifest);
    return {};
}

Result<void> Client::delete_manifest(const std::string& repository, const std::string& reference) {
    HttpRequest request;
    request.method = "DELETE";
    request.url = manifest_url(repository, reference);
    Scopes scopes{"repository:" + repository + ":pull,push,delete"};
    HttpAnswer answer = TRY(session_->send(request, scopes, kMaxErrorBody));
    if (answer.head.ok()) return {};
    return unexpected_status("delete " + name(repository, reference), answer.head.status,
                             answer.body);
}

Result<std::unique_ptr<BlobStream>> Client::open_blob(const std::string& repository,
                                                      const spec::Descriptor& descriptor,
                                                      uint64_t offset) {
    std::unique_ptr<BlobStream> stream{new BlobStream(
        session_, blob_url(repository, descriptor.digest), pull_scope(repository), descriptor)};
    stream->offset_ = offset;
    return stream;
}

Result<void> BlobStream::skip(uint64_t bytes) {
    std::vector<char> buffer(64U << 10U);
    while (bytes > 0) {
        size_t wanted = static_cast<size_t>(std::min<uint64_t>(bytes, buffer.size()));
        size_t got = TRY(stream_->read({buffer.data(), wanted}));
        if (got == 0) return fail(Errc::corrupt, url_ + ": is shorter than the manifest says");
        bytes -= got;
    }
    return {};
}

Result<void> BlobStream::connect() {
    HttpRequest request;
    request.url = url_;
    if (offset_ > 0) request.headers.push_back({"Range", "bytes=" + std::to_string(offset_) + "-"});
    HttpStream stream = TRY(session_->open(request, scopes_));
    const ResponseHead& head = stream.head();
    if (head.status == 404)
        return fail(Errc::not_found, url_ + ": the registry does not have this blob",
                    "the image was pushed incompletely; push it again");
    if (head.status != 200 && head.status != 206) {
        auto body = stream.read_all(kMaxErrorBody);
        return unexpected_status(url_, head.status, body ? *body : "");
    }
    uint64_t expected = descriptor_.size - (head.status == 206 ? offset_ : 0);
    if (auto length = head.content_length(); length && *length != expected)
        return fail(Errc::corrupt, url_ + ": the registry sends " + std::to_string(*length) +
                                       " bytes, the manifest says " + std::to_string(expected));
    if (head.status == 206) {
        std::string range = head.header("Content-Range").value_or("");
        if (!range.starts_with("bytes " + std::to_string(offset_) + "-"))
            return fail(Errc::corrupt, url_ + ": asked for bytes from " + std::to_string(offset_) +
                                           " on, got " + quote(range));
    }
    bool whole = head.status == 200;
    stream_.emplace(std::move(stream));
    return whole ? skip(offset_) : Result<void>{};
}

Result<size_t> BlobStream::read(std::span<char> into) {
    for (;;) {
        Result<size_t> got = size_t{0};
        if (!stream_) {
            if (offset_ >= descriptor_.size && offset_ > 0) return size_t{0};
            auto connected = connect();
            if (!connected) got = fail(std::move(connected).error());
        }
        if (got) got = stream_->read(into);
        if (got && *got == 0 && offset_ < descriptor_.size)
            got = fail(Errc::io, url_ + ": the connection was closed after " +
                                     std::to_string(offset_) + " of " +
                                     std::to_string(descriptor_.size) + " bytes");
        if (got) {
            offset_ += *got;
            if (offset_ - failed_at_ >= forgiven_after_) failures_ = 0;
            if (offset_ > descriptor_.size)
                return fail(Errc::corrupt, url_ + ": is longer than the " +
                                               std::to_string(descriptor_.size) +
                                               " bytes that the manifest says");
            return got;
        }
        if (!is_transient(got.error()) || ++failures_ >= session_->fetcher().policy().attempts)
            return got;
        // Whoever breaks off but goes on is forgiven; whoever trickles would hold us for ever.
        forgiven_after_ = got.error().code == Errc::timeout ? kEnoughAfterTimeout : 1;
        failed_at_ = offset_;
        stream_.reset();
        TRY(session_->fetcher().pause(failures_));
    }
}

Result<std::string> Client::read_blob(const std::string& repository,
                                      const spec::Descriptor& descriptor, size_t limit) {
    if (descriptor.size > limit)
        return fail(Errc::invalid, "blob " + descriptor.digest.to_string() + " has " +
                                       std::to_string(descriptor.size) + " bytes, more than " +
                                       std::to_string(limit));
    auto stream = TRY(open_blob(repository, descriptor));
    std::string out;
    std::vector<char> buffer(64U << 10U);
    for (;;) {
        size_t got = TRY(stream->read(buffer));
        if (got == 0) break;
        out.append(buffer.data(), got);
    }
    auto actual = layer::hash(out, descriptor.digest.algorithm());
    if (actual != descriptor.digest)
        return fail(Errc::corrupt, blob_url(repository, descriptor.digest) +
                                       ": the registry sent other content, with digest " +
                                       actual.to_string());
    return out;
}

Result<bool> Client::has_blob(const std::string& repository, const spec::Digest& digest) {
    HttpRequest request;
    request.method = "HEAD";
    request.url = blob_url(repository, digest);
    // With the right to push: the token is the one that the upload needs next.
    HttpAnswer answer = TRY(session_->send(request, push_scope(repository), kMaxErrorBody));
    if (answer.head.status == 404) return false;
    if (!answer.head.ok()) return unexpected_status(request.url, answer.head.status, answer.body);
    return true;
}

Result<void> Client::check_login() {
    HttpRequest request;
    request.url = base_;
    HttpAnswer answer = TRY(session_->send(request, {}, kMaxErrorBody));
    if (!answer.head.ok()) return unexpected_status(base_, answer.head.status, answer.body);
    return {};
}

std::string referrers_tag(const spec::Digest& subject) {
    return std::string{spec::algorithm_name(subject.algorithm())} + "-" + subject.hex();
}

std::optional<std::string> parse_next_link(std::string_view header) {
    for (;;) {
        size_t open = header.find('<');
        size_t close = header.find('>', open == std::string_view::npos ? 0 : open);
        if (open == std::string_view::npos || close == std::string_view::npos) return std::nullopt;
        std::string_view target = header.substr(open + 1, close - open - 1);
        std::string_view rest = header.substr(close + 1);
        size_t next = rest.find('<');
        std::string_view parameters = rest.substr(0, next);
        if (parameters.find("rel=\"next\"") != std::string_view::npos ||
            parameters.find("rel=next") != std::string_view::npos)
            return std::string{target};
        if (next == std::string_view::npos) return std::nullopt;
        header = rest;
    }
}

}  // namespace hull::registry
