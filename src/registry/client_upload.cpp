#include <algorithm>

#include "base/text.hpp"
#include "registry/client.hpp"

namespace hull::registry {
namespace {

constexpr size_t kMaxErrorBody = 64U << 10U;
constexpr uint64_t kMonolithicSize = 1U << 20U;  ///< up to here: one PUT with the whole blob

std::string with_query(const std::string& url, const std::string& query) {
    return url + (url.find('?') == std::string::npos ? "?" : "&") + query;
}

Scopes upload_scopes(const std::string& repository, const std::string& mount_from) {
    Scopes scopes{"repository:" + repository + ":pull,push"};
    if (!mount_from.empty()) scopes.push_back("repository:" + mount_from + ":pull");
    return scopes;
}

tl::unexpected<Error> upload_refused(const std::string& what, const HttpAnswer& answer) {
    std::string reason = describe_error_body(answer.body);
    return fail(answer.head.status == 404 ? Errc::not_found : Errc::io,
                what + ": the registry answered with status " + std::to_string(answer.head.status) +
                    (reason.empty() ? "" : " (" + reason + ")"));
}

/// Whether the upload may be tried again after this answer.
bool may_resume(int status) {
    return status == 416 || status == 429 || status >= 500;
}

/// Gives at most `length` bytes of `source`, and counts them.
BodySource limited(BodySource source, uint64_t length, uint64_t base,
                   std::function<void(uint64_t)> progress) {
    auto left = std::make_shared<uint64_t>(length);
    auto sent = std::make_shared<uint64_t>(base);
    return [=](std::span<char> into) -> Result<size_t> {
        size_t room = static_cast<size_t>(std::min<uint64_t>(into.size(), *left));
        if (room == 0) return size_t{0};
        size_t got = TRY(source(into.subspan(0, room)));
        *left -= got;
        *sent += got;
        if (progress) progress(*sent);
        return got;
    };
}

}  // namespace

Result<std::optional<std::string>> Client::start_upload(const std::string& repository,
                                                        const BlobUpload& upload) {
    HttpRequest request;
    request.method = "POST";
    request.url = base_ + repository + "/blobs/uploads/";
    if (!upload.mount_from.empty())
        request.url = with_query(request.url, "mount=" + upload.descriptor.digest.to_string() +
                                                  "&from=" + url_escape(upload.mount_from));
    HttpAnswer answer =
        TRY(session_->send(request, upload_scopes(repository, upload.mount_from), kMaxErrorBody));
    std::string what = "push a blob to " + host_ + "/" + repository;
    if (answer.head.status == 201 && !upload.mount_from.empty()) return std::nullopt;
    if (answer.head.status != 202) return upload_refused(what, answer);
    auto location = answer.head.header("Location");
    if (!location)
        return fail(Errc::corrupt, what + ": the registry names no place for the upload");
    std::string url = TRY(resolve_url(answer.head.url, *location));
    TRY(with_context(parse_url(url), what + ": the registry names a place that is refused"));
    return url;
}

Result<std::string> Client::send_chunk(const Scopes& scopes, const BlobUpload& upload,
                                       const std::string& location, uint64_t from,
                                       uint64_t length) {
    HttpRequest request;
    request.method = "PATCH";
    request.url = location;
    request.headers.push_back({"Content-Type", "application/octet-stream"});
    if (from > 0 || length < upload.descriptor.size)
        request.headers.push_back(
            {"Content-Range", std::to_string(from) + "-" + std::to_string(from + length - 1)});
    request.body_source = limited(TRY(upload.open(from)), length, from, upload.progress);
    request.body_size = length;
    HttpAnswer answer = TRY(session_->send(request, scopes, kMaxErrorBody));
    std::string what = "push blob " + upload.descriptor.digest.to_string();
    if (may_resume(answer.head.status))
        return fail(Errc::timeout, what + ": the registry answered with status " +
                                       std::to_string(answer.head.status));
    if (!answer.head.ok()) return upload_refused(what, answer);
    auto next = answer.head.header("Location");
    return next ? resolve_url(answer.head.url, *next) : Result<std::string>{location};
}

Result<std::pair<std::string, uint64_t>> Client::upload_status(const Scopes& scopes,
                                                               const std::string& location) {
    HttpRequest request;
    request.url = location;
    HttpAnswer answer = TRY(session_->send(request, scopes, kMaxErrorBody));
    if (answer.head.status != 204 && answer.head.status != 202)
        return upload_refused("resume the upload", answer);
    auto next = answer.head.header("Location");
    std::string url = next ? TRY(resolve_url(answer.head.url, *next)) : location;
    std::string range = answer.head.header("Range").value_or("");
    if (range.starts_with("bytes=")) range.erase(0, 6);
    size_t dash = range.find('-');
    auto last = dash == std::string::npos
                    ? std::nullopt
                    : parse_number<uint64_t>(std::string_view{range}.substr(dash + 1));
    // "0-0" means nothing yet (distribution-spec, "Pushing a blob in chunks"), or one byte: sending
    // that byte again is refused with 416, and the upload is begun anew.
    return std::pair{url, last && *last > 0 ? *last + 1 : 0};
}

Result<void> Client::send_blob(const std::string& repository, const BlobUpload& upload,
                               std::string location) {
    Scopes scopes = upload_scopes(repository, "");
    const uint64_t size = upload.descriptor.size;
    uint64_t sent = 0;
    if (size > kMonolithicSize || upload.chunk_size != 0) {
        int failures = 0;
        while (sent < size) {
            uint64_t length =
                upload.chunk_size == 0 ? size - sent : std::min(upload.chunk_size, size - sent);
            auto next = send_chunk(scopes, upload, location, sent, length);
            if (next) {
                location = *next;
                sent += length;
                failures = 0;
                continue;
            }
            if (!is_transient(next.error()) || ++failures >= session_->fetcher().policy().attempts)
                return fail(std::move(next).error());
            TRY(session_->fetcher().pause(failures));
            auto status = TRY(upload_status(scopes, location));
            location = status.first;
            sent = std::min(status.second, size);
        }
    }
    HttpRequest request;
    request.method = "PUT";
    request.url =
        with_query(location, "digest=" + url_escape(upload.descriptor.digest.to_string()));
    request.headers.push_back({"Content-Type", "application/octet-stream"});
    if (sent < size) {
        request.body_source = limited(TRY(upload.open(0)), size, 0, upload.progress);
        request.body_size = size;
    }
    HttpAnswer answer = TRY(session_->send(request, scopes, kMaxErrorBody));
    if (answer.head.ok()) return {};
    std::string what = "push blob " + upload.descriptor.digest.to_string();
    if (may_resume(answer.head.status))
        return fail(Errc::timeout, what + ": the registry answered with status " +
                                       std::to_string(answer.head.status));
    return upload_refused(what, answer);
}

Result<UploadOutcome> Client::upload_blob(const std::string& repository, const BlobUpload& upload) {
    if (TRY(has_blob(repository, upload.descriptor.digest))) return UploadOutcome::existed;
    for (int attempt = 1;; ++attempt) {
        auto location = TRY(start_upload(repository, upload));
        if (!location) return UploadOutcome::mounted;
        auto sent = send_blob(repository, upload, *location);
        if (sent) return UploadOutcome::uploaded;
        bool again = is_transient(sent.error()) || sent.error().code == Errc::not_found;
        if (!again || attempt >= session_->fetcher().policy().attempts)
            return fail(std::move(sent).error());
        TRY(session_->fetcher().pause(attempt));
    }
}

}  // namespace hull::registry
