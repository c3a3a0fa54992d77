#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "registry/challenge.hpp"
#include "registry/credentials.hpp"
#include "registry/fetcher.hpp"

namespace hull::registry {

/// What a token shall allow: "repository:library/debian:pull".
using Scopes = std::vector<std::string>;

/// Talks to one registry as one user: answers its 401 with a token (asked for at its token server
/// with a password, an identity token or nothing) or with basic authentication, and remembers what
/// worked. Any thread.
/// @see distribution-spec; the registry's token authentication specification
class Session {
  public:
    Session(std::shared_ptr<Fetcher> fetcher, std::string registry,
            std::optional<Credential> credential)
        : fetcher_(std::move(fetcher)),
          registry_(std::move(registry)),
          credential_(std::move(credential)) {}

    /// Asks once without a token, to learn what the registry wants. The host that answers is the
    /// only one (beside its token server) that gets to see credentials.
    /// @errors  as Fetcher::open
    Result<ResponseHead> probe(const std::string& url);
    /// @errors  denied: the registry refuses this user (status 401 and 403)
    Result<HttpStream> open(HttpRequest request, const Scopes& scopes);
    Result<HttpAnswer> send(HttpRequest request, const Scopes& scopes,
                            size_t body_limit = 4U << 20U);
    Fetcher& fetcher() { return *fetcher_; }
    const std::string& registry() const { return registry_; }

  private:
    enum class Way { unknown, none, basic, bearer };
    struct Token {
        std::string text;
        std::chrono::steady_clock::time_point until;
    };
    Result<std::string> authorization(const std::string& url, const Scopes& scopes);
    Result<void> learn(const ResponseHead& head, const std::string& used, const Scopes& scopes);
    Result<Token> fetch_token(const Scopes& scopes);
    tl::unexpected<Error> refused(const ResponseHead& head, const std::string& body) const;

    std::shared_ptr<Fetcher> fetcher_;
    std::string registry_;
    std::optional<Credential> credential_;
    std::mutex mutex_;
    Way way_ = Way::unknown;
    std::string realm_;
    std::string service_;
    std::string origin_;                   ///< "https://host:port" of the registry
    std::map<std::string, Token> tokens_;  ///< by the scopes, joined with blanks
};

/// The reason in a registry's error document ("MANIFEST_UNKNOWN: manifest unknown"), or "".
std::string describe_error_body(const std::string& body);

}  // namespace hull::registry
