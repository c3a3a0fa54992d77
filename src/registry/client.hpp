#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "registry/session.hpp"
#include "spec/digest.hpp"
#include "spec/image.hpp"

namespace hull::registry {

/// A manifest or index as it is, byte by byte.
struct ManifestData {
    std::string bytes;
    std::string media_type;
    spec::Digest digest;  ///< of `bytes`
};

/// Reads one blob from a registry; a connection that breaks is made again where it broke (Range).
/// Checks the length; the digest is the reader's work.
class BlobStream {
  public:
    /// @return  bytes read, 0 at the end.
    /// @errors corrupt: more or fewer bytes than the descriptor says; io
    Result<size_t> read(std::span<char> into);
    uint64_t offset() const { return offset_; }

  private:
    friend class Client;
    BlobStream(std::shared_ptr<Session> session, std::string url, Scopes scopes,
               spec::Descriptor descriptor)
        : session_(std::move(session)),
          url_(std::move(url)),
          scopes_(std::move(scopes)),
          descriptor_(std::move(descriptor)) {}
    Result<void> connect();
    Result<void> skip(uint64_t bytes);

    std::shared_ptr<Session> session_;
    std::string url_;
    Scopes scopes_;
    spec::Descriptor descriptor_;
    uint64_t offset_ = 0;
    int failures_ = 0;  ///< in a row, without `forgiven_after_` bytes between
    uint64_t failed_at_ = 0;
    uint64_t forgiven_after_ = 1;
    std::optional<HttpStream> stream_;
};

/// Opens a blob's bytes from `offset` on; called again when an upload is resumed.
using OpenBody = std::function<Result<BodySource>(uint64_t offset)>;

struct BlobUpload {
    spec::Descriptor descriptor;
    OpenBody open;
    std::string mount_from;   ///< a repository of the same registry that has it; empty: none
    uint64_t chunk_size = 0;  ///< bytes of one PATCH; 0: all in one
    std::function<void(uint64_t)> progress;  ///< bytes sent so far
};
enum class UploadOutcome { uploaded, mounted, existed };

struct ClientRequest {
    std::shared_ptr<Fetcher> fetcher;
    std::string host;  ///< with port; "docker.io" is known by its own name
    bool may_use_plain_http = false;
    std::optional<Credential> credential;
};

/// One registry, by the OCI distribution specification 1.1. Any thread.
class Client {
  public:
    /// Finds out the scheme (https, else plain http where allowed) and the way of authentication.
    /// @errors not_found: no such host; io: not reachable; denied: certificate not trusted
    static Result<std::shared_ptr<Client>> connect(const ClientRequest& request);

    const std::string& host() const { return host_; }

    /// @param reference  tag or digest
    /// @errors not_found: no such repository or tag; corrupt: not what its digest says
    Result<ManifestData> get_manifest(const std::string& repository, const std::string& reference);
    /// Type, digest and size without the content; nullopt: not there.
    Result<std::optional<spec::Descriptor>> head_manifest(const std::string& repository,
                                                          const std::string& reference);
    /// Stores under a tag or digest; a manifest with a subject becomes one of its referrers, by the
    /// registry or (older ones) by the fallback tag.
    Result<void> put_manifest(const std::string& repository, const std::string& reference,
                              const ManifestData& manifest);
    /// @errors not_found; unsupported: the registry does not delete
    Result<void> delete_manifest(const std::string& repository, const std::string& reference);

    Result<std::unique_ptr<BlobStream>> open_blob(const std::string& repository,
                                                  const spec::Descriptor& descriptor,
                                                  uint64_t offset = 0);
    /// A small blob, its digest checked. @errors corrupt, not_found
    Result<std::string> read_blob(const std::string& repository, const spec::Descriptor& descriptor,
                                  size_t limit = 8U << 20U);
    Result<bool> has_blob(const std::string& repository, const spec::Digest& digest);
    /// Nothing is sent if the registry has the blob or can mount it.
    Result<UploadOutcome> upload_blob(const std::string& repository, const BlobUpload& upload);

    Result<std::vector<std::string>> list_tags(const std::string& repository);
    Result<std::vector<std::string>> list_repositories();
    /// What points to `subject`, of one artifact type or (empty) of all.
    Result<spec::Index> referrers(const std::string& repository, const spec::Digest& subject,
                                  const std::string& artifact_type = {});
    /// Asks once with credentials. @errors denied: they are wrong
    Result<void> check_login();

  private:
    Client(std::shared_ptr<Session> session, std::string host, std::string base)
        : session_(std::move(session)), host_(std::move(host)), base_(std::move(base)) {}
    std::string manifest_url(const std::string& repository, const std::string& reference) const;
    std::string blob_url(const std::string& repository, const spec::Digest& digest) const;
    std::string name(const std::string& repository, const std::string& reference) const;
    Result<std::vector<std::string>> list_pages(std::string url, const Scopes& scopes,
                                                std::string_view member, const std::string& what);
    Result<std::optional<std::string>> start_upload(const std::string& repository,
                                                    const BlobUpload& upload);
    Result<void> send_blob(const std::string& repository, const BlobUpload& upload,
                           std::string location);
    Result<std::string> send_chunk(const Scopes& scopes, const BlobUpload& upload,
                                   const std::string& location, uint64_t from, uint64_t length);
    Result<std::pair<std::string, uint64_t>> upload_status(const Scopes& scopes,
                                                           const std::string& location);
    Result<void> add_fallback_referrer(const std::string& repository, const spec::Digest& subject,
                                       const ManifestData& manifest);

    std::shared_ptr<Session> session_;
    std::string host_;
    std::string base_;  ///< "https://HOST/v2/"
};

/// The next page of a Link header (RFC 8288): `</v2/_catalog?last=x&n=5>; rel="next"`.
std::optional<std::string> parse_next_link(std::string_view header);
/// "sha256-HEX": where older registries keep the list of referrers.
std::string referrers_tag(const spec::Digest& subject);

}  // namespace hull::registry
