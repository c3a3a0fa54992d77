#include <cstdlib>
#include <string>

#include "base/file.hpp"
#include "registry/channel.hpp"

namespace hull::registry {
namespace {

constexpr long kReceiveBuffer = 256L << 10;  ///< bytes libcurl reads at a time

/// Debian's bundle; other systems' places after it.
std::string system_ca_file() {
    if (const char* file = std::getenv("SSL_CERT_FILE")) return file;
    for (const char* path : {"/etc/ssl/certs/ca-certificates.crt",
                             "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"})
        if (path_exists(path)) return path;
    return {};
}

std::string environment_either(const char* lower, const char* upper) {
    if (const char* value = std::getenv(lower)) return value;
    if (const char* value = std::getenv(upper)) return value;
    return {};
}

}  // namespace

Result<void> Channel::configure_trust(const UrlParts& url) {
    HostTrust trust;
    if (settings_->trust) trust = TRY(settings_->trust(url.authority));
    if (url.scheme == "http" && !trust.plain_http_allowed)
        return fail(Errc::denied, "plain http to " + url.authority + " is not allowed",
                    "use https, or mark it insecure in registries.conf or with --insecure");
    set(CURLOPT_SSL_VERIFYPEER, trust.verify ? 1L : 0L);
    set(CURLOPT_SSL_VERIFYHOST, trust.verify ? 2L : 0L);
    std::string system_file = system_ca_file();
    if (!trust.extra_ca_pem.empty()) {
        ca_pem_ = trust.extra_ca_pem + "\n";
        if (!system_file.empty()) ca_pem_ += TRY(read_file(system_file));
        curl_blob blob{ca_pem_.data(), ca_pem_.size(), CURL_BLOB_NOCOPY};
        set(CURLOPT_CAINFO_BLOB, &blob);
    } else if (!system_file.empty()) {
        set(CURLOPT_CAINFO, system_file.c_str());
    }
    if (!trust.client_certificate.empty()) {
        set(CURLOPT_SSLCERT, trust.client_certificate.c_str());
        set(CURLOPT_SSLKEY, trust.client_key.c_str());
    }
    return {};
}

void Channel::configure_proxy(const UrlParts& url) {
    // As Go's programs do, not as curl: upper case counts as well, and loopback is never proxied.
    std::string proxy;
    if (!is_loopback_host(url.host))
        proxy = url.scheme == "https" ? environment_either("https_proxy", "HTTPS_PROXY")
                                      : environment_either("http_proxy", "HTTP_PROXY");
    if (proxy.empty() && !is_loopback_host(url.host))
        proxy = environment_either("all_proxy", "ALL_PROXY");
    set(CURLOPT_PROXY, proxy.c_str());
    proxy_ = proxy.substr(proxy.rfind('@') + 1);  // a password is not for messages
    set(CURLOPT_NOPROXY, environment_either("no_proxy", "NO_PROXY").c_str());
}

void Channel::configure_body(const HttpRequest& request) {
    source_ = request.body_source;
    send_body_ = request.body;
    bool sends = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
    if (request.method == "HEAD") {
        set(CURLOPT_NOBODY, 1L);
    } else if (sends) {
        set(CURLOPT_UPLOAD, 1L);
        set(CURLOPT_READFUNCTION, &Channel::on_send);
        set(CURLOPT_READDATA, this);
        auto size = request.body_source ? request.body_size : request.body.size();
        set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(size));
        set(CURLOPT_UPLOAD_BUFFERSIZE, 512L << 10);
        set(CURLOPT_CUSTOMREQUEST, method_.c_str());
    } else if (request.method != "GET") {
        set(CURLOPT_CUSTOMREQUEST, method_.c_str());
    }
}

Result<void> Channel::configure(const HttpRequest& request, const UrlParts& url) {
    curl_easy_reset(easy_);
    set(CURLOPT_URL, url_.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_FOLLOWLOCATION, 0L);  // redirects are fetcher.cpp's work: it drops credentials
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_ERRORBUFFER, static_cast<char*>(error_text_));
    set(CURLOPT_BUFFERSIZE, kReceiveBuffer);
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(settings_->connect_timeout.count()));
    set(CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(settings_->least_rate));
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(settings_->stall_timeout.count()));
    set(CURLOPT_HEADERFUNCTION, &Channel::on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_WRITEFUNCTION, &Channel::on_body);
    set(CURLOPT_WRITEDATA, this);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_USERAGENT, "hull/" HULL_VERSION);
    if (!request.unix_socket.empty())
        set(CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.c_str());
    else
        TRY(configure_trust(url));
    configure_proxy(url);
    configure_body(request);
    auto append = [&](const std::string& line) {
        header_list_ = curl_slist_append(header_list_, line.c_str());
    };
    append("Expect:");
    for (const auto& header : request.headers)
        append(header.name + ": " + header.value);
    if (!request.authorization.empty()) append("Authorization: " + request.authorization);
    set(CURLOPT_HTTPHEADER, header_list_);
    return {};
}

}  // namespace hull::registry
