#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "registry/transport.hpp"

namespace hull::registry {

struct RetryPolicy {
    int attempts = 5;                            ///< in all, the first one counted
    std::chrono::milliseconds first_delay{400};  ///< doubled at each further attempt
    std::chrono::seconds longest_wait{120};      ///< a server that asks for more is given up
};

/// An answer whose body was small enough to keep.
struct HttpAnswer {
    ResponseHead head;
    std::string body;
};

/// HTTP as registries need it, over Transport: follows redirects (dropping the Authorization
/// header for another host, refusing other schemes and the way from https to http), and tries again
/// after 429, 502, 503, 504 and broken connections. Any thread.
class Fetcher {
  public:
    Fetcher(std::shared_ptr<Transport> transport, RetryPolicy policy)
        : transport_(std::move(transport)), policy_(policy) {}

    /// @return  the answer, whatever its status; the caller reads the body.
    /// @errors  as Transport::open; denied: a redirect that is refused; corrupt: too many
    /// redirects;
    ///          timeout: the server asks to wait longer than RetryPolicy::longest_wait
    Result<HttpStream> open(const HttpRequest& request);
    Result<HttpAnswer> send(const HttpRequest& request, size_t body_limit = 4U << 20U);

    /// Waits before attempt number `attempt` (1 is the first repetition). @errors cancelled
    Result<void> pause(int attempt);
    const RetryPolicy& policy() const { return policy_; }

  private:
    Result<HttpStream> open_following(HttpRequest request);
    Result<void> sleep(std::chrono::milliseconds duration);
    std::shared_ptr<Transport> transport_;
    RetryPolicy policy_;
};

/// True when the same request may well succeed a moment later.
bool is_transient(const Error& error);

/// What a Retry-After header asks for: seconds, or an HTTP date (RFC 9110, 10.2.3).
std::optional<std::chrono::seconds> parse_retry_after(std::string_view value,
                                                      std::chrono::system_clock::time_point now);

}  // namespace hull::registry
