#include "registry/channel.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/text.hpp"

namespace hull::registry {
namespace {

constexpr size_t kReadAhead = 1U << 20U;         ///< bytes kept beyond what the reader asked for
constexpr size_t kMaxHeaderBytes = 256U << 10U;  ///< of one answer
constexpr int kPollMilliseconds = 200;  ///< how often a waiting transfer looks for a cancel

}  // namespace

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
            if (!proxy_.empty())
                error = make_error(
                    Errc::io, what + "cannot connect to " + authority_ + " by the proxy " + proxy_,
                    "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY, and that the proxy runs");
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
            if (head_complete_)
                return make_error(Errc::timeout,
                                  what + authority_ + " sent less than " +
                                      std::to_string(settings_->least_rate) +
                                      " bytes a second for " +
                                      std::to_string(settings_->stall_timeout.count()) + " seconds",
                                  "check the network, then try again: it goes on where it stopped; "
                                  "--timeout and --min-rate set the bounds");
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

}  // namespace hull::registry
