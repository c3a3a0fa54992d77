#include "image/location.hpp"

#include <array>
#include <string_view>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::image {
namespace {

using Transport = Location::Transport;

struct Scheme {
    std::string_view prefix;
    Transport transport;
    bool has_path;
};
constexpr std::array kSchemes{
    Scheme{"docker://", Transport::registry, false},
    Scheme{"store:", Transport::store, false},
    Scheme{"containers-storage:", Transport::store, false},
    Scheme{"oci:", Transport::oci, true},
    Scheme{"oci-archive:", Transport::oci_archive, true},
    Scheme{"docker-archive:", Transport::docker_archive, true},
    Scheme{"dir:", Transport::folder, true},
    Scheme{"docker-daemon:", Transport::docker_daemon, false},
};

const Scheme& scheme_of(Transport transport) {
    for (const auto& scheme : kSchemes)
        if (scheme.transport == transport) return scheme;
    return kSchemes[1];
}

}  // namespace

std::string Location::to_string() const {
    std::string out{scheme_of(transport).prefix};
    out += path;
    if (!path.empty() && !name.empty()) out += ":";
    return out + name;
}

Result<Location> parse_location(const std::string& text) {
    Location out;
    for (const auto& scheme : kSchemes) {
        if (!text.starts_with(scheme.prefix)) continue;
        std::string rest = text.substr(scheme.prefix.size());
        out.transport = scheme.transport;
        if (rest.empty())
            return fail(Errc::invalid,
                        quote(text) + ": nothing after " + std::string{scheme.prefix});
        if (!scheme.has_path) {
            out.name = std::move(rest);
            return out;
        }
        size_t colon = scheme.transport == Transport::folder ? std::string::npos : rest.find(':');
        out.path = TRY(absolute_path(rest.substr(0, colon)));
        if (colon != std::string::npos) out.name = rest.substr(colon + 1);
        return out;
    }
    // "xyz:abc" with an unknown scheme looks like a name with a tag; only "://" is surely wrong.
    if (text.find("://") != std::string::npos)
        return fail(Errc::invalid, quote(text) + ": unknown transport",
                    "one of docker://, store:, oci:, oci-archive:, docker-archive:, dir:, "
                    "docker-daemon:");
    if (text.empty()) return fail(Errc::invalid, "the name of an image is empty");
    out.name = text;
    return out;
}

}  // namespace hull::image
