#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "registry/url.hpp"

namespace hull::registry {

struct HttpHeader {
    std::string name;
    std::string value;
};

/// Fills the span from its start. @return  bytes written, 0 at the end.
using BodySource = std::function<Result<size_t>(std::span<char>)>;

/// How one host is to be trusted.
struct HostTrust {
    bool verify = true;               ///< check the certificate and the name in it
    bool plain_http_allowed = false;  ///< http:// may be used at all
    std::string extra_ca_pem;         ///< CAs beside the system's
    std::string client_certificate;   ///< path of a PEM file; empty: none
    std::string client_key;           ///< path of a PEM file
};

/// One HTTP exchange, as sent: no redirect or retry happens below this.
struct HttpRequest {
    std::string method = "GET";
    std::string url;
    std::vector<HttpHeader> headers;
    std::string authorization;  ///< value of the Authorization header; never sent to another host
    std::string body;
    BodySource body_source;   ///< used in the place of `body` when set
    uint64_t body_size = 0;   ///< bytes that `body_source` gives
    std::string unix_socket;  ///< connect here, whatever the URL's host says
};

struct ResponseHead {
    int status = 0;
    std::string url;  ///< where the answer came from, after redirects
    std::vector<HttpHeader> headers;

    /// The first header of that name, whatever its case.
    std::optional<std::string> header(std::string_view name) const;
    std::vector<std::string> all(std::string_view name) const;
    bool ok() const { return status >= 200 && status < 300; }
    std::optional<uint64_t> content_length() const;
};

/// What the slowest modem reaches; a registry that trickles to hold a client is slower.
inline constexpr uint32_t kLeastRate = 1000;

struct TransportSettings {
    std::function<Result<HostTrust>(const std::string& host)> trust;  ///< "host:port" of a URL
    std::chrono::seconds connect_timeout{30};
    std::chrono::seconds stall_timeout{60};  ///< too few bytes for that long: give up
    uint32_t least_rate = kLeastRate;        ///< bytes a second that are enough
    const std::atomic<bool>* cancelled = nullptr;
};

class Channel;

/// The body of one answer, read as it arrives. Holds a connection until destroyed.
class HttpStream {
  public:
    HttpStream(HttpStream&&) noexcept;
    HttpStream& operator=(HttpStream&&) noexcept;
    ~HttpStream();

    const ResponseHead& head() const { return head_; }
    /// @return  bytes read, 0 at the end.
    /// @errors io: the connection broke, or ended before the announced length; timeout; cancelled
    Result<size_t> read(std::span<char> into);
    /// The rest of the body. @errors corrupt: more than `limit` bytes.
    Result<std::string> read_all(size_t limit);

  private:
    friend class Transport;
    class Lease;
    HttpStream(ResponseHead head, std::unique_ptr<Lease> lease);
    ResponseHead head_;
    std::unique_ptr<Lease> lease_;
};

/// Makes single HTTP exchanges (libcurl), any number at a time from any thread; connections are
/// kept and used again. http and https only. The environment's proxies are used, never for
/// loopback.
class Transport : public std::enable_shared_from_this<Transport> {
  public:
    static std::shared_ptr<Transport> create(TransportSettings settings);
    ~Transport();

    /// Sends the request; returns when the answer's header is there.
    /// @errors not_found: no such host; io: refused or broken; denied: certificate not trusted, or
    ///         plain http not allowed; unsupported: the other side does not speak TLS; timeout
    Result<HttpStream> open(const HttpRequest& request);
    const TransportSettings& settings() const { return settings_; }

  private:
    friend class HttpStream::Lease;
    explicit Transport(TransportSettings settings);
    std::unique_ptr<Channel> take_channel();
    void give_back(std::unique_ptr<Channel> channel);

    TransportSettings settings_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Channel>> idle_;
};

}  // namespace hull::registry
