#include "registry/transport.hpp"

#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <curl/curl.h>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::registry {
namespace {

constexpr long kReceiveBuffer = 256L << 10;      ///< bytes libcurl reads at a time
constexpr size_t kReadAhead = 1U << 20U;         ///< bytes kept beyond what the reader asked for
constexpr size_t kMaxHeaderBytes = 256U << 10U;  ///< of one answer
constexpr int kPollMilliseconds = 200;  ///< how often a waiting transfer looks for a cancel

bool equal_names(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

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

void initialise_curl_once() {
    static std::once_flag once;
    std::call_once(once, [] { (void)curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

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

size_t Channel::on_header(char* data, size_t size, size_t count, void* self) {
    auto& channel = *static_cast<Channel*>(self);
    size_t length = size * count;
    channel.header_bytes_ += length;
    if (channel.header_bytes_ > kMaxHeaderBytes) return 0;
    std::string_view line = trim({data, length});
    if (line.starts_with("HTTP/")) {
        channel.head_.headers.clear();  // an earlier 100 Continue or a proxy's answer
        auto space = line.find(' ');
        auto code =
            space == std::string_view::npos ? std::string_view{} : line.substr(space + 1, 3);
        channel.head_.status = parse_number<int>(code).value_or(0);
    } else if (line.empty()) {
        channel.head_complete_ = channel.head_.status >= 200;
    } else if (auto colon = line.find(':'); colon != std::string_view::npos) {
        channel.head_.headers.push_back(
            {std::string{line.substr(0, colon)}, std::string{trim(line.substr(colon + 1))}});
    }
    return length;
}

size_t Channel::on_body(char* data, size_t size, size_t count, void* self) {
    auto& channel = *static_cast<Channel*>(self);
    size_t length = size * count;
    if (channel.ahead_.size() - channel.ahead_offset_ >= kReadAhead) {
        channel.paused_ = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    size_t direct = 0;
    if (channel.ahead_offset_ == channel.ahead_.size()) {
        direct = std::min(length, channel.wanted_.size() - channel.delivered_);
        if (direct > 0) std::memcpy(channel.wanted_.data() + channel.delivered_, data, direct);
        channel.delivered_ += direct;
    }
    channel.ahead_.append(data + direct, length - direct);
    return length;
}

size_t Channel::on_send(char* into, size_t size, size_t count, void* self) {
    auto& channel = *static_cast<Channel*>(self);
    size_t room = size * count;
    if (!channel.source_) {
        size_t length = std::min(room, channel.send_body_.size() - channel.send_offset_);
        std::memcpy(into, channel.send_body_.data() + channel.send_offset_, length);
        channel.send_offset_ += length;
        return length;
    }
    auto length = channel.source_({into, room});
    if (!length) {
        channel.failure_ = length.error();
        return CURL_READFUNC_ABORT;
    }
    return *length;
}

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
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
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

Result<ResponseHead> Channel::start(const HttpRequest& request, const UrlParts& url,
                                    const TransportSettings& settings) {
    settings_ = &settings;
    method_ = request.method;
    authority_ = request.unix_socket.empty() ? url.authority : request.unix_socket;
    url_ = request.url;
    TRY(configure(request, url));
    curl_multi_add_handle(multi_, easy_);
    attached_ = true;
    Result<void> stepped;
    while (!head_complete_ && !ended_ && stepped)
        stepped = step();
    if (!stepped && !head_complete_) return fail(std::move(stepped).error());
    // Header and the first bytes may come together with the failure: it is told after them.
    if (!stepped) failure_ = std::move(stepped).error();
    if (!head_complete_)
        return fail(Errc::io, method_ + " " + url_ + ": " + authority_ + " sent no HTTP answer");
    // A body that is sent while the answer is read (an early refusal) is cut off with the transfer.
    head_.url = url_;
    return head_;
}

Result<void> Channel::step() {
    if (settings_->cancelled != nullptr && settings_->cancelled->load())
        return fail(Errc::cancelled, "interrupted");
    int running = 0;
    curl_multi_perform(multi_, &running);
    int left = 0;
    while (CURLMsg* message = curl_multi_info_read(multi_, &left)) {
        if (message->msg != CURLMSG_DONE) continue;
        ended_ = true;
        if (message->data.result != CURLE_OK) return fail(explain(message->data.result));
    }
    bool got_something = delivered_ > 0 || ahead_offset_ < ahead_.size() || head_complete_;
    if (!ended_ && (!got_something || (delivered_ == 0 && !wanted_.empty())))
        curl_multi_poll(multi_, nullptr, 0, kPollMilliseconds, nullptr);
    return {};
}

Result<size_t> Channel::read(std::span<char> into) {
    if (ahead_offset_ < ahead_.size()) {
        size_t length = std::min(into.size(), ahead_.size() - ahead_offset_);
        std::memcpy(into.data(), ahead_.data() + ahead_offset_, length);
        ahead_offset_ += length;
        if (ahead_offset_ == ahead_.size()) {
            ahead_.clear();
            ahead_offset_ = 0;
        }
        return length;
    }
    wanted_ = into;
    delivered_ = 0;
    if (paused_) {
        paused_ = false;
        curl_easy_pause(easy_, CURLPAUSE_CONT);
    }
    Result<void> stepped;
    while (delivered_ == 0 && !ended_ && stepped)
        stepped = step();
    wanted_ = {};
    // What arrived before a failure is given first, the failure at the next read: a resumed
    // transfer goes on behind it.
    if (!stepped) failure_ = std::move(stepped).error();
    if (delivered_ == 0 && failure_) return fail(*failure_);
    return std::exchange(delivered_, 0);
}

void Channel::finish() {
    if (attached_) curl_multi_remove_handle(multi_, easy_);
    attached_ = false;
    curl_slist_free_all(header_list_);
    header_list_ = nullptr;
    source_ = nullptr;
    failure_.reset();
    send_body_.clear();
    send_offset_ = 0;
    error_text_[0] = '\0';
    head_ = {};
    header_bytes_ = 0;
    head_complete_ = ended_ = paused_ = false;
    ahead_.clear();
    ahead_offset_ = delivered_ = 0;
    wanted_ = {};
}

Error Channel::explain(CURLcode code) const {
    if (failure_) return *failure_;
    long os_errno = 0;
    curl_easy_getinfo(easy_, CURLINFO_OS_ERRNO, &os_errno);
    std::string detail = error_text_[0] != '\0' ? error_text_ : curl_easy_strerror(code);
    std::string what = method_ + " " + url_ + ": ";
    switch (code) {
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
            return make_error(Errc::not_found, what + "cannot find the host (" + detail + ")",
                              "check the name, the network and /etc/resolv.conf");
        case CURLE_COULDNT_CONNECT: {
            Error error = make_error(Errc::io, what + "cannot connect to " + authority_,
                                     "check that the registry runs and that the port is right");
            error.sys_errno = os_errno != 0 ? static_cast<int>(os_errno) : ECONNREFUSED;
            return error;
        }
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
            return make_error(
                Errc::denied,
                what + "the certificate of " + authority_ + " is not trusted (" + detail + ")",
                "put its CA into /etc/containers/certs.d/" + authority_ +
                    "/ca.crt, or give --tls-verify=false");
        case CURLE_SSL_CONNECT_ERROR:
            return make_error(Errc::unsupported,
                              what + "no TLS connection to " + authority_ + " (" + detail + ")",
                              "if it speaks plain http only, give --tls-verify=false or mark it "
                              "insecure in registries.conf");
        case CURLE_SSL_CERTPROBLEM:
            return make_error(Errc::denied, what + "client certificate: " + detail,
                              "check the .cert and .key files in certs.d/" + authority_);
        case CURLE_OPERATION_TIMEDOUT:
            return make_error(Errc::timeout, what + detail, "check the network, then try again");
        case CURLE_UNSUPPORTED_PROTOCOL:
            return make_error(Errc::denied, what + "only http and https are allowed");
        case CURLE_PARTIAL_FILE:
        case CURLE_GOT_NOTHING:
            return make_error(
                Errc::io, what + authority_ + " closed the connection too early (" + detail + ")");
        case CURLE_WRITE_ERROR:
            return make_error(Errc::corrupt, what + "the answer's header is too long");
        default:
            return make_error(Errc::io, what + detail);
    }
}

class HttpStream::Lease {
  public:
    Lease(std::shared_ptr<Transport> transport, std::unique_ptr<Channel> channel)
        : transport_(std::move(transport)), channel_(std::move(channel)) {}
    ~Lease() {
        channel_->finish();
        transport_->give_back(std::move(channel_));
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Channel& channel() { return *channel_; }

  private:
    std::shared_ptr<Transport> transport_;
    std::unique_ptr<Channel> channel_;
};

HttpStream::HttpStream(ResponseHead head, std::unique_ptr<Lease> lease)
    : head_(std::move(head)), lease_(std::move(lease)) {}
HttpStream::HttpStream(HttpStream&&) noexcept = default;
HttpStream& HttpStream::operator=(HttpStream&&) noexcept = default;
HttpStream::~HttpStream() = default;

Result<size_t> HttpStream::read(std::span<char> into) {
    return lease_->channel().read(into);
}

Result<std::string> HttpStream::read_all(size_t limit) {
    std::string out;
    std::vector<char> buffer(64U << 10U);
    for (;;) {
        size_t length = TRY(read(buffer));
        if (length == 0) return out;
        if (out.size() + length > limit)
            return fail(Errc::corrupt, head_.url + ": the answer is longer than " +
                                           std::to_string(limit) + " bytes");
        out.append(buffer.data(), length);
    }
}

Transport::Transport(TransportSettings settings) : settings_(std::move(settings)) {}
Transport::~Transport() = default;

std::shared_ptr<Transport> Transport::create(TransportSettings settings) {
    initialise_curl_once();
    return std::shared_ptr<Transport>(new Transport(std::move(settings)));
}

std::unique_ptr<Channel> Transport::take_channel() {
    std::lock_guard lock{mutex_};
    if (idle_.empty()) return std::make_unique<Channel>();
    auto channel = std::move(idle_.back());
    idle_.pop_back();
    return channel;
}

void Transport::give_back(std::unique_ptr<Channel> channel) {
    std::lock_guard lock{mutex_};
    idle_.push_back(std::move(channel));
}

Result<HttpStream> Transport::open(const HttpRequest& request) {
    UrlParts url = TRY(parse_url(request.url));
    auto lease = std::make_unique<HttpStream::Lease>(shared_from_this(), take_channel());
    ResponseHead head = TRY(lease->channel().start(request, url, settings_));
    return HttpStream{std::move(head), std::move(lease)};
}

std::optional<std::string> ResponseHead::header(std::string_view name) const {
    for (const auto& header : headers)
        if (equal_names(header.name, name)) return header.value;
    return std::nullopt;
}

std::vector<std::string> ResponseHead::all(std::string_view name) const {
    std::vector<std::string> out;
    for (const auto& header : headers)
        if (equal_names(header.name, name)) out.push_back(header.value);
    return out;
}

std::optional<uint64_t> ResponseHead::content_length() const {
    auto value = header("Content-Length");
    return value ? parse_number<uint64_t>(*value) : std::nullopt;
}

namespace {

class Url {
  public:
    Url() : handle_(curl_url()) {}
    ~Url() { curl_url_cleanup(handle_); }
    Url(const Url&) = delete;
    Url& operator=(const Url&) = delete;
    CURLUcode set(const std::string& text, unsigned flags) {
        return curl_url_set(handle_, CURLUPART_URL, text.c_str(), flags);
    }
    std::string get(CURLUPart part) const {
        char* text = nullptr;
        if (curl_url_get(handle_, part, &text, 0) != CURLUE_OK) return {};
        std::string out = text;
        curl_free(text);
        return out;
    }

  private:
    CURLU* handle_;
};

}  // namespace

Result<UrlParts> parse_url(const std::string& url) {
    Url parsed;
    if (auto bad = parsed.set(url, CURLU_NON_SUPPORT_SCHEME); bad != CURLUE_OK)
        return fail(Errc::invalid, quote(url) + " is no URL: " + curl_url_strerror(bad));
    UrlParts parts;
    parts.scheme = parsed.get(CURLUPART_SCHEME);
    if (parts.scheme != "http" && parts.scheme != "https")
        return fail(Errc::denied, quote(url) + ": the scheme " + parts.scheme +
                                      " is refused; only http and https");
    if (!parsed.get(CURLUPART_USER).empty())
        return fail(Errc::denied, quote(url) + ": a user name in a URL is refused");
    parts.host = parsed.get(CURLUPART_HOST);
    std::string port = parsed.get(CURLUPART_PORT);
    parts.authority = port.empty() ? parts.host : parts.host + ":" + port;
    if (parts.host.starts_with('[')) parts.host = parts.host.substr(1, parts.host.size() - 2);
    parts.path = parsed.get(CURLUPART_PATH);
    if (std::string query = parsed.get(CURLUPART_QUERY); !query.empty()) parts.path += "?" + query;
    return parts;
}

Result<std::string> resolve_url(const std::string& base, const std::string& reference) {
    Url parsed;
    if (parsed.set(base, 0) != CURLUE_OK) return fail(Errc::invalid, quote(base) + " is no URL");
    if (auto bad = parsed.set(reference, CURLU_NON_SUPPORT_SCHEME); bad != CURLUE_OK)
        return fail(Errc::corrupt, base + " points to " + quote(reference) + ", which is no URL");
    return parsed.get(CURLUPART_URL);
}

std::string url_escape(std::string_view text) {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    std::string out;
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~';
        if (plain)
            out += c;
        else
            out += {'%', kDigits[byte >> 4U], kDigits[byte & 15U]};
    }
    return out;
}

bool is_loopback_host(std::string_view host) {
    if (host == "localhost" || host.ends_with(".localhost") || host == "::1" || host == "[::1]")
        return true;
    if (!host.starts_with("127.")) return false;
    return std::all_of(host.begin(), host.end(),
                       [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
}

}  // namespace hull::registry
