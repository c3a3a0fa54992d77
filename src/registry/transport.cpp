#include "registry/transport.hpp"

#include <strings.h>

#include <utility>

#include <curl/curl.h>

#include "base/text.hpp"
#include "registry/channel.hpp"

namespace hull::registry {
namespace {

bool equal_names(std::string_view a, std::string_view b) {
    return a.size() == b.size() && ::strncasecmp(a.data(), b.data(), a.size()) == 0;
}

void initialise_curl_once() {
    static std::once_flag once;
    std::call_once(once, [] { (void)curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

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

}  // namespace hull::registry
