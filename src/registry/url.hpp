#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"

namespace hull::registry {

/// The parts of an http or https URL that decide who it talks to.
struct UrlParts {
    std::string scheme;
    std::string host;       ///< without port, IPv6 without brackets
    std::string authority;  ///< host[:port] as certs.d and credentials name it
    std::string path;       ///< with the query
};
/// @errors denied: another scheme, or a user name in it; invalid: no URL
Result<UrlParts> parse_url(const std::string& url);
/// `reference` as a link on the page `base`.
Result<std::string> resolve_url(const std::string& base, const std::string& reference);
std::string url_escape(std::string_view text);
/// 127.0.0.0/8, ::1, localhost.
bool is_loopback_host(std::string_view host);

}  // namespace hull::registry
