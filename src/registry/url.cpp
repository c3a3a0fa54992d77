#include "registry/url.hpp"

#include <algorithm>

#include <curl/curl.h>

#include "base/text.hpp"

namespace hull::registry {
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
