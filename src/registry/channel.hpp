#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include <curl/curl.h>

#include "base/result.hpp"
#include "registry/transport.hpp"
#include "registry/url.hpp"

namespace hull::registry {

/// One curl easy handle in a multi handle of its own, so that the thread that wants bytes is the
/// one that fetches them; the multi handle keeps the connection for the next request.
class Channel {
  public:
    Channel() : multi_(curl_multi_init()), easy_(curl_easy_init()) {}
    ~Channel() {
        finish();
        curl_easy_cleanup(easy_);
        curl_multi_cleanup(multi_);
    }
    Channel(const Channel&) = delete;
    Channel& operator=(const Channel&) = delete;

    Result<ResponseHead> start(const HttpRequest& request, const UrlParts& url,
                               const TransportSettings& settings);
    Result<size_t> read(std::span<char> into);
    /// Ends the transfer; the handle can be used again.
    void finish();

  private:
    static size_t on_header(char* data, size_t size, size_t count, void* self);
    static size_t on_body(char* data, size_t size, size_t count, void* self);
    static size_t on_send(char* into, size_t size, size_t count, void* self);

    Result<void> configure(const HttpRequest& request, const UrlParts& url);
    Result<void> configure_trust(const UrlParts& url);
    void configure_proxy(const UrlParts& url);
    void configure_body(const HttpRequest& request);
    Result<void> step();
    Error explain(CURLcode code) const;
    template <typename T>
    void set(CURLoption option, T value) {
        (void)curl_easy_setopt(easy_, option, value);
    }

    CURLM* multi_;
    CURL* easy_;
    curl_slist* header_list_ = nullptr;
    const TransportSettings* settings_ = nullptr;
    std::string method_;
    std::string authority_;
    std::string proxy_;  ///< without credentials; empty: none
    std::string url_;
    std::string ca_pem_;
    std::string send_body_;
    size_t send_offset_ = 0;
    BodySource source_;
    std::optional<Error> failure_;  ///< of the body's source, or of the transfer; told once
    char error_text_[CURL_ERROR_SIZE] = {};

    ResponseHead head_;
    size_t header_bytes_ = 0;
    bool head_complete_ = false;
    std::string ahead_;  ///< bytes that arrived before they were asked for
    size_t ahead_offset_ = 0;
    std::span<char> wanted_;  ///< the reader's buffer while it waits
    size_t delivered_ = 0;    ///< bytes put there
    bool paused_ = false;
    bool attached_ = false;
    bool ended_ = false;
};

}  // namespace hull::registry
