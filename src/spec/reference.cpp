#include "spec/reference.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace hull::spec {
namespace {

constexpr size_t kMaxNameLength = 255;
constexpr size_t kMaxTagLength = 128;

bool is_lower_or_digit(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}
bool is_upper(char c) {
    return c >= 'A' && c <= 'Z';
}
bool is_alphanumeric(char c) {
    return is_lower_or_digit(c) || is_upper(c);
}

tl::unexpected<Error> refuse(std::string_view text, std::string_view why, std::string hint = {}) {
    return fail(Errc::invalid, "image name " + quote(text.substr(0, 300)) + ": " + std::string{why},
                std::move(hint));
}

/// path-component := [a-z0-9]+ (([_.] | "__" | "-"+) [a-z0-9]+)*
bool is_path_component(std::string_view part) {
    size_t i = 0;
    auto word = [&] {
        size_t start = i;
        while (i < part.size() && is_lower_or_digit(part[i]))
            ++i;
        return i > start;
    };
    if (!word()) return false;
    while (i < part.size()) {
        if (part[i] == '.') {
            ++i;
        } else if (part[i] == '_') {
            i += part.substr(i).starts_with("__") ? 2 : 1;
        } else if (part[i] == '-') {
            while (i < part.size() && part[i] == '-')
                ++i;
        } else {
            return false;
        }
        if (!word()) return false;
    }
    return true;
}

/// domain-component := [a-zA-Z0-9] | [a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]
bool is_host_name(std::string_view host) {
    for (std::string_view label : split(host, '.')) {
        if (label.empty() || label.front() == '-' || label.back() == '-') return false;
        if (!std::all_of(label.begin(), label.end(),
                         [](char c) { return is_alphanumeric(c) || c == '-'; }))
            return false;
    }
    return true;
}

bool is_ipv6_literal(std::string_view text) {
    if (text.size() < 4 || text.front() != '[' || text.back() != ']') return false;
    std::string_view inner = text.substr(1, text.size() - 2);
    return std::all_of(inner.begin(), inner.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
               c == ':';
    });
}

bool is_domain(std::string_view domain) {
    size_t bracket = domain.rfind(']');
    size_t colon = domain.find(':', bracket == std::string_view::npos ? 0 : bracket);
    std::string_view host = domain.substr(0, colon);
    if (colon != std::string_view::npos && !parse_number<uint16_t>(domain.substr(colon + 1)))
        return false;
    return host.starts_with('[') ? is_ipv6_literal(host) : is_host_name(host);
}

/// Whether the first part of a name is a registry.
bool looks_like_domain(std::string_view first) {
    return first.find_first_of(".:[") != std::string_view::npos || first == "localhost" ||
           std::any_of(first.begin(), first.end(), is_upper);
}

Result<void> check_path(std::string_view text, std::string_view path) {
    if (path.empty()) return refuse(text, "the repository name is missing");
    if (std::any_of(path.begin(), path.end(), is_upper)) {
        std::string lower{path};
        std::transform(lower.begin(), lower.end(), lower.begin(),
                       [](char c) { return is_upper(c) ? static_cast<char>(c + 32) : c; });
        return refuse(text, "repository name must be lowercase", "did you mean " + lower + "?");
    }
    for (std::string_view part : split(path, '/'))
        if (!is_path_component(part))
            return refuse(text,
                          "invalid reference format: " + quote(part) + " is no repository name",
                          "parts are a-z and 0-9, joined by one of . _ __ or dashes");
    return {};
}

/// Splits off "@DIGEST" and ":TAG".
Result<std::string_view> take_tag_and_digest(std::string_view text, Reference& reference) {
    std::string_view rest = text;
    if (size_t at = rest.find('@'); at != std::string_view::npos) {
        reference.digest = TRY(with_context(Digest::parse(rest.substr(at + 1)),
                                            "image name " + quote(text.substr(0, 300))));
        rest = rest.substr(0, at);
    }
    size_t colon = rest.rfind(':');
    size_t slash = rest.rfind('/');
    bool has_tag =
        colon != std::string_view::npos && (slash == std::string_view::npos || slash < colon);
    if (has_tag) {
        std::string_view tag = rest.substr(colon + 1);
        if (!is_valid_tag(tag))
            return refuse(
                text, "invalid reference format: " + quote(tag) + " is no tag",
                "a tag is at most 128 of A-Z a-z 0-9 _ . - and does not begin with . or -");
        reference.tag = std::string{tag};
        rest = rest.substr(0, colon);
    }
    return rest;
}

}  // namespace

bool is_valid_tag(std::string_view tag) {
    if (tag.empty() || tag.size() > kMaxTagLength) return false;
    if (!is_alphanumeric(tag[0]) && tag[0] != '_') return false;
    return std::all_of(tag.begin(), tag.end(), [](char c) {
        return is_alphanumeric(c) || c == '_' || c == '.' || c == '-';
    });
}

// Before a tag or digest, "127.0.0.1:5000" is a host and no name with a tag.
bool names_registry(std::string_view text) {
    size_t slash = text.find('/');
    return slash != std::string_view::npos && looks_like_domain(text.substr(0, slash));
}

Result<Reference> parse_reference(std::string_view text, const ReferenceDefaults& defaults) {
    if (text.empty()) return refuse(text, "is empty");
    if (size_t scheme = text.find("://"); scheme != std::string_view::npos)
        return refuse(text, "an image name has no scheme",
                      "write it without " + std::string{text.substr(0, scheme + 3)});
    Reference reference;
    std::string_view name = TRY(take_tag_and_digest(text, reference));
    size_t slash = name.find('/');
    if (slash != std::string_view::npos && looks_like_domain(name.substr(0, slash))) {
        std::string_view domain = name.substr(0, slash);
        if (!is_domain(domain))
            return refuse(text, "invalid reference format: " + quote(domain) + " is no registry",
                          "a registry is HOST, HOST:PORT or [IPv6]:PORT");
        reference.domain = std::string{domain};
        reference.path = std::string{name.substr(slash + 1)};
    } else {
        reference.domain = defaults.domain;
        reference.path = std::string{name};
    }
    if (reference.domain == "index.docker.io" || reference.domain == "registry-1.docker.io")
        reference.domain = "docker.io";
    TRY(check_path(text, reference.path));
    if (reference.domain == "docker.io" && reference.path.find('/') == std::string::npos)
        reference.path.insert(0, "library/");
    if (reference.path.size() > kMaxNameLength)
        return refuse(text, "the repository name is longer than 255 characters");
    if (reference.tag.empty() && !reference.digest) reference.tag = defaults.tag;
    return reference;
}

std::string Reference::repository() const {
    return domain + "/" + path;
}

std::string Reference::to_string() const {
    std::string text = repository();
    if (!tag.empty()) text += ":" + tag;
    if (digest) text += "@" + digest->to_string();
    return text;
}

std::string Reference::familiar() const {
    constexpr std::string_view kOfficial = "library/";
    std::string text = to_string();
    // docker.io/a.b/c: without its domain the first part would be taken for one.
    const size_t slash = path.find('/');
    const bool is_ambiguous =
        slash != std::string::npos && looks_like_domain(path.substr(0, slash));
    if (domain == "docker.io" && !is_ambiguous) {
        text = text.substr(domain.size() + 1);
        if (path.starts_with(kOfficial) && path.find('/', kOfficial.size()) == std::string::npos)
            text = text.substr(kOfficial.size());
    }
    return text;
}

std::string Reference::tag_or_digest() const {
    return digest ? digest->to_string() : tag;
}

bool Reference::is_loopback() const {
    if (domain.starts_with("[")) return domain.starts_with("[::1]");
    std::string_view host = std::string_view{domain}.substr(0, domain.find(':'));
    if (host == "localhost") return true;
    std::vector<std::string_view> parts = split(host, '.');
    if (parts.size() != 4 || parts[0] != "127") return false;
    return std::all_of(parts.begin(), parts.end(),
                       [](std::string_view part) { return parse_number<uint8_t>(part); });
}

}  // namespace hull::spec
