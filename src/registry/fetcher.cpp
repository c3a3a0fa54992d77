#include "registry/fetcher.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <thread>

#include "base/text.hpp"

namespace hull::registry {
namespace {

constexpr int kMaxRedirects = 10;
constexpr size_t kMaxErrorBody = 64U << 10U;

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

bool asks_to_wait(int status) {
    return status == 429 || status == 502 || status == 503 || status == 504;
}

/// The request that follows an answer with a Location header.
Result<HttpRequest> next_request(const HttpRequest& request, const ResponseHead& head) {
    auto location = head.header("Location");
    if (!location)
        return fail(Errc::corrupt, request.url + ": a redirect without a Location header");
    HttpRequest next = request;
    next.url = TRY(resolve_url(request.url, *location));
    UrlParts from = TRY(parse_url(request.url));
    auto to =
        with_context(parse_url(next.url), from.authority + " redirects to a place that is refused");
    if (!to) return fail(std::move(to).error());
    bool downgrade = from.scheme == "https" && to->scheme == "http";
    if (downgrade)
        return fail(Errc::denied, request.url + " redirects from https to plain http (" + next.url +
                                      "): refused");
    if (from.scheme != to->scheme || from.authority != to->authority) next.authorization.clear();
    if (head.status == 303) {
        next.method = "GET";
        next.body.clear();
    }
    return next;
}

bool can_follow(const HttpRequest& request, int status) {
    if (!is_redirect(status) || request.body_source) return false;
    if (request.method == "GET" || request.method == "HEAD") return true;
    return status == 303 || status == 307 || status == 308;
}

}  // namespace

bool is_transient(const Error& error) {
    if (error.code == Errc::timeout) return true;
    return error.code == Errc::io && error.sys_errno != ECONNREFUSED &&
           error.sys_errno != EHOSTUNREACH && error.sys_errno != ENETUNREACH &&
           error.sys_errno != ENOSPC && error.sys_errno != EDQUOT;
}

std::optional<std::chrono::seconds> parse_retry_after(std::string_view value,
                                                      std::chrono::system_clock::time_point now) {
    value = trim(value);
    if (auto seconds = parse_number<uint32_t>(value)) return std::chrono::seconds{*seconds};
    std::tm date{};
    std::string text{value};
    // IMF-fixdate; the names are English whatever the locale, which hull never sets.
    const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date);
    if (end == nullptr || *end != '\0') return std::nullopt;
    auto when = std::chrono::system_clock::from_time_t(::timegm(&date));
    auto wait = std::chrono::ceil<std::chrono::seconds>(when - now);
    return std::max(wait, std::chrono::seconds{0});
}

Result<void> Fetcher::sleep(std::chrono::milliseconds duration) {
    constexpr std::chrono::milliseconds kSlice{50};
    auto until = std::chrono::steady_clock::now() + duration;
    const auto* cancelled = transport_->settings().cancelled;
    for (;;) {
        if (cancelled != nullptr && cancelled->load()) return fail(Errc::cancelled, "interrupted");
        auto now = std::chrono::steady_clock::now();
        if (now >= until) return {};
        std::this_thread::sleep_for(
            std::min<std::chrono::steady_clock::duration>(kSlice, until - now));
    }
}

Result<void> Fetcher::pause(int attempt) {
    return sleep(policy_.first_delay * (1U << std::min(attempt - 1, 8)));
}

Result<HttpStream> Fetcher::open_following(HttpRequest request) {
    for (int hops = 0; hops <= kMaxRedirects; ++hops) {
        HttpStream stream = TRY(transport_->open(request));
        if (!can_follow(request, stream.head().status)) return stream;
        request = TRY(next_request(request, stream.head()));
        TRY(stream.read_all(kMaxErrorBody));
    }
    return fail(Errc::corrupt, request.url + ": more than " + std::to_string(kMaxRedirects) +
                                   " redirects in a row");
}

Result<HttpStream> Fetcher::open(const HttpRequest& request) {
    for (int attempt = 1;; ++attempt) {
        // A body that is streamed can be sent once only; its sender knows how to begin again.
        bool last = attempt >= policy_.attempts || request.body_source;
        auto stream = open_following(request);
        if (!stream) {
            if (last || !is_transient(stream.error())) return stream;
            TRY(pause(attempt));
            continue;
        }
        int status = stream->head().status;
        if (last || !asks_to_wait(status)) return stream;
        auto asked = stream->head().header("Retry-After");
        auto wait =
            asked ? parse_retry_after(*asked, std::chrono::system_clock::now()) : std::nullopt;
        if (wait && *wait > policy_.longest_wait)
            return fail(Errc::timeout,
                        request.url + ": the server (status " + std::to_string(status) +
                            ") asks to wait " + std::to_string(wait->count()) + " seconds",
                        "try again later, or log in: anonymous limits are lower");
        TRY(stream->read_all(kMaxErrorBody));
        TRY(wait ? sleep(*wait) : pause(attempt));
    }
}

Result<HttpAnswer> Fetcher::send(const HttpRequest& request, size_t body_limit) {
    for (int attempt = 1;; ++attempt) {
        HttpStream stream = TRY(open(request));
        auto body = stream.read_all(body_limit);
        if (body) return HttpAnswer{stream.head(), std::move(*body)};
        bool last = attempt >= policy_.attempts || request.body_source;
        if (last || !is_transient(body.error())) return fail(std::move(body).error());
        TRY(pause(attempt));
    }
}

}  // namespace hull::registry
