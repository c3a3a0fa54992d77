#include "registry/lookaside.hpp"

#include <unistd.h>

#include <cstdlib>

#include "base/file.hpp"
#include "base/text.hpp"
#include "registry/policy.hpp"

namespace hull::registry {
namespace {

constexpr size_t kMaxSignatures = 64;
constexpr size_t kMaxSignature = 4U << 20U;

struct Line {
    size_t indent = 0;
    std::string key;
    std::string value;
    int number = 0;
};

/// A plain or quoted scalar, without its comment.
Result<std::string> scalar(std::string_view text, std::string_view where) {
    text = trim(text);
    if (text.empty()) return std::string{};
    char first = text.front();
    if (first == '"' || first == '\'') {
        size_t end = text.find(first, 1);
        if (end == std::string_view::npos || text.find('\\') != std::string_view::npos)
            return fail(Errc::invalid, std::string{where} + ": a quoted value that is not plain");
        return std::string{text.substr(1, end - 1)};
    }
    if (std::string_view{"[{&*!|>%@`-"}.find(first) != std::string_view::npos)
        return fail(Errc::invalid, std::string{where} + ": only plain mappings are understood");
    if (size_t comment = text.find(" #"); comment != std::string_view::npos)
        text = trim(text.substr(0, comment));
    return std::string{text};
}

Result<std::vector<Line>> lines_of(std::string_view text, std::string_view what) {
    std::vector<Line> out;
    int number = 0;
    for (auto raw : split_lines(text)) {
        ++number;
        std::string where = std::string{what} + ":" + std::to_string(number);
        std::string_view body = trim(raw);
        if (body.empty() || body.front() == '#' || body == "---") continue;
        size_t indent = raw.find_first_not_of(' ');
        if (raw[indent] == '\t') return fail(Errc::invalid, where + ": a tab in the indentation");
        // A key may hold colons ("host:5000"): the separator is the last one at the end or before
        // a blank.
        size_t colon = body.find(": ");
        if (colon == std::string_view::npos && body.ends_with(':')) colon = body.size() - 1;
        if (colon == std::string_view::npos)
            return fail(Errc::invalid, where + ": expected KEY: VALUE");
        Line line{indent, TRY(scalar(body.substr(0, colon), where)),
                  TRY(scalar(body.substr(colon + 1), where)), number};
        out.push_back(std::move(line));
    }
    return out;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

}  // namespace

Result<LookasideMap> parse_registries_d(std::string_view text, std::string_view what) {
    LookasideMap out;
    std::string section;
    std::string scope;
    size_t scope_indent = 0;
    for (const auto& line : TRY(lines_of(text, what))) {
        if (line.indent == 0) {
            section = line.key;
            scope.clear();
            scope_indent = 0;
            if (section != "docker" && section != "default-docker")
                return fail(Errc::invalid, std::string{what} + ":" + std::to_string(line.number) +
                                               ": unknown section " + quote(section));
            continue;
        }
        bool is_scope = section == "docker" && line.value.empty() &&
                        (scope_indent == 0 || line.indent <= scope_indent);
        if (is_scope) {
            scope = line.key;
            scope_indent = line.indent;
            continue;
        }
        // `sigstore` is the older name of the same.
        bool is_place = line.key == "lookaside" || line.key == "sigstore";
        if (is_place && (section == "default-docker" || !scope.empty()))
            out[section == "default-docker" ? "" : scope] = line.value;
    }
    return out;
}

Result<LookasideMap> load_registries_d(const std::string& folder) {
    std::string config = environment("XDG_CONFIG_HOME");
    if (config.empty()) config = join_path(environment("HOME"), ".config");
    std::string own = join_path(config, "containers/registries.d");
    std::string place = !folder.empty()    ? folder
                        : path_exists(own) ? own
                                           : "/etc/containers/registries.d";
    LookasideMap out;
    if (!path_exists(place) && folder.empty()) return out;
    for (const auto& name : TRY(list_directory(place))) {
        if (!name.ends_with(".yaml")) continue;
        std::string path = join_path(place, name);
        for (auto& [scope, base] : TRY(parse_registries_d(TRY(read_file(path)), path)))
            out[scope] = std::move(base);
    }
    return out;
}

std::string lookaside_base(const LookasideMap& map, const spec::Reference& reference) {
    for (const auto& scope : docker_scopes(reference))
        if (auto entry = map.find(scope); entry != map.end()) return entry->second;
    if (auto entry = map.find(""); entry != map.end()) return entry->second;
    if (::geteuid() == 0) return "file:///var/lib/containers/sigstore";
    return "file://" + join_path(environment("HOME"), ".local/share/containers/sigstore");
}

Result<std::vector<std::string>> fetch_signatures(Access& access, const std::string& base,
                                                  const spec::Reference& reference,
                                                  const spec::Digest& manifest) {
    std::string folder = base + "/" + reference.path + "@" +
                         std::string{spec::algorithm_name(manifest.algorithm())} + "=" +
                         manifest.hex();
    std::vector<std::string> out;
    while (out.size() < kMaxSignatures) {
        std::string url = folder + "/signature-" + std::to_string(out.size() + 1);
        if (url.starts_with("file://")) {
            std::string path = url.substr(7);
            if (!path_exists(path)) break;
            out.push_back(TRY(read_file(path, kMaxSignature)));
            continue;
        }
        HttpRequest request;
        request.url = url;
        HttpAnswer answer = TRY(
            with_context(access.fetcher()->send(request, kMaxSignature), "look for signatures"));
        if (answer.head.status == 404) break;
        if (!answer.head.ok())
            return fail(Errc::io, url + ": status " + std::to_string(answer.head.status));
        out.push_back(std::move(answer.body));
    }
    return out;
}

}  // namespace hull::registry
