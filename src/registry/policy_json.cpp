#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/base64.hpp"
#include "base/file.hpp"
#include "base/json_io.hpp"
#include "base/text.hpp"
#include "registry/credentials.hpp"
#include "registry/policy.hpp"

namespace hull::registry {
namespace {

using Identity = PolicyRequirement::Identity;

constexpr std::string_view kClaimType = "atomic container signature";

/// Unknown members are refused: a misspelt restriction must not be passed over.
Result<void> allow_members(const JsonReader& object, std::vector<std::string> known) {
    for (const auto& [name, value] : TRY(object.members()))
        if (std::find(known.begin(), known.end(), name) == known.end()) {
            auto near = closest_match(name, known);
            return value.refuse("is not known here", near ? "did you mean " + *near + "?" : "");
        }
    return {};
}

/// A host, or a repository or namespace on one: what a tag or a digest could follow.
Result<std::string> parse_prefix(const JsonReader& value) {
    std::string prefix = TRY(value.as_string());
    bool is_host = prefix.find('/') == std::string::npos;
    auto parsed = spec::parse_reference(is_host ? prefix + "/x" : prefix, {.tag = ""});
    if (!parsed || !parsed->tag.empty() || parsed->digest)
        return value.refuse("is no HOST[:PORT][/NAMESPACE…] without tag and digest");
    return prefix;
}

Result<void> parse_identity(const JsonReader& value, PolicyRequirement& out) {
    TRY(value.expect_object());
    std::string type;
    TRY(value.read("type", type));
    if (type == "matchRepoDigestOrExact") {
        out.identity = Identity::repository_digest_or_exact;
        return allow_members(value, {"type"});
    }
    if (type == "matchExact") {
        out.identity = Identity::exact;
        return allow_members(value, {"type"});
    }
    if (type == "matchRepository") {
        out.identity = Identity::repository;
        return allow_members(value, {"type"});
    }
    if (type == "exactReference") {
        out.identity = Identity::exact_reference;
        TRY(allow_members(value, {"type", "dockerReference"}));
        auto reference = TRY(value.require("dockerReference"));
        out.identity_value = TRY(reference.as_string());
        auto parsed = spec::parse_reference(out.identity_value, {.tag = ""});
        if (!parsed) return reference.refuse(parsed.error().to_string_without_hint());
        if (parsed->tag.empty() && !parsed->digest)
            return reference.refuse("needs a tag or a digest", "or use exactRepository");
        return {};
    }
    if (type == "exactRepository") {
        out.identity = Identity::exact_repository;
        TRY(allow_members(value, {"type", "dockerRepository"}));
        auto repository = TRY(value.require("dockerRepository"));
        out.identity_value = TRY(repository.as_string());
        auto parsed = spec::parse_reference(out.identity_value, {.tag = ""});
        if (!parsed) return repository.refuse(parsed.error().to_string_without_hint());
        return {};
    }
    if (type == "remapIdentity") {
        out.identity = Identity::remap;
        TRY(allow_members(value, {"type", "prefix", "signedPrefix"}));
        out.identity_value = TRY(parse_prefix(TRY(value.require("prefix"))));
        out.signed_prefix = TRY(parse_prefix(TRY(value.require("signedPrefix"))));
        return {};
    }
    return value.refuse("has the unknown type " + quote(type));
}

Result<PolicyRequirement> parse_signed_by(const JsonReader& value) {
    TRY(allow_members(value,
                      {"type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"}));
    PolicyRequirement out;
    out.kind = PolicyRequirement::Kind::signed_by;
    std::string key_type = TRY(TRY(value.require("keyType")).as_string());
    if (key_type != "GPGKeys")
        return fail(Errc::unsupported, value.path() + ".keyType: " + quote(key_type) +
                                           " cannot be checked; only GPGKeys");
    int sources = 0;
    if (auto path = value.find("keyPath")) {
        out.key_paths.push_back(TRY(path->as_string()));
        ++sources;
    }
    if (auto paths = value.find("keyPaths")) {
        out.key_paths = TRY(paths->as_strings());
        ++sources;
    }
    if (auto data = value.find("keyData")) {
        auto decoded = decode_base64(TRY(data->as_string()));
        if (!decoded || decoded->empty()) return data->refuse("is not base64");
        out.key_data = *decoded;
        ++sources;
    }
    if (sources != 1 || (out.key_paths.empty() && out.key_data.empty()))
        return value.refuse("needs exactly one of keyPath, keyPaths and keyData");
    for (const auto& path : out.key_paths)
        if (!path.starts_with('/'))
            return value.refuse("key path " + quote(path) + " is not absolute");
    if (auto identity = value.find("signedIdentity")) TRY(parse_identity(*identity, out));
    return out;
}

Result<PolicyRequirement> parse_requirement(const JsonReader& value) {
    TRY(value.expect_object());
    std::string type = TRY(TRY(value.require("type")).as_string());
    PolicyRequirement out;
    if (type == "insecureAcceptAnything") {
        TRY(allow_members(value, {"type"}));
        out.kind = PolicyRequirement::Kind::accept;
        return out;
    }
    if (type == "reject") {
        TRY(allow_members(value, {"type"}));
        out.kind = PolicyRequirement::Kind::reject;
        return out;
    }
    if (type == "signedBy") return parse_signed_by(value);
    if (type == "sigstoreSigned" || type == "signedBaseLayer")
        return fail(Errc::unsupported, value.path() + ".type: " + type + " cannot be checked",
                    "use signedBy, insecureAcceptAnything or reject");
    return value.refuse("has the unknown type " + quote(type));
}

Result<PolicyRequirements> parse_requirements(const JsonReader& value) {
    PolicyRequirements out;
    for (const auto& element : TRY(value.elements()))
        out.push_back(TRY(parse_requirement(element)));
    if (out.empty())
        return value.refuse("must not be empty",
                            R"(to accept all: [{"type":"insecureAcceptAnything"}])");
    return out;
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

}  // namespace

Result<Policy> parse_policy(std::string_view text, std::string_view what) {
    Json document = TRY(parse_json(text, what));
    JsonReader reader{document, std::string{what}};
    TRY(reader.expect_object());
    TRY(allow_members(reader, {"default", "transports"}));
    Policy out;
    out.fallback = TRY(parse_requirements(TRY(reader.require("default"))));
    auto transports = reader.find("transports");
    if (!transports) return out;
    for (const auto& [transport, scopes] : TRY(transports->members()))
        for (const auto& [scope, requirements] : TRY(scopes.members()))
            out.transports[transport][scope] = TRY(parse_requirements(requirements));
    return out;
}

Result<Policy> load_policy(const std::string& explicit_path) {
    std::string config = environment("XDG_CONFIG_HOME");
    if (config.empty()) config = join_path(environment("HOME"), ".config");
    std::vector<std::string> places{join_path(config, "containers/policy.json"),
                                    "/etc/containers/policy.json"};
    if (!explicit_path.empty()) places = {explicit_path};
    for (const auto& path : places)
        if (path_exists(path) || !explicit_path.empty())
            return parse_policy(TRY(read_file(path, 4U << 20U)), path);
    Policy everything;
    everything.fallback.push_back({.kind = PolicyRequirement::Kind::accept});
    return everything;
}

Result<SignedClaim> parse_signed_claim(std::string_view json) {
    Json document = TRY(parse_json(json, "signature"));
    JsonReader reader{document, "signature"};
    TRY(reader.expect_object());
    TRY(allow_members(reader, {"critical", "optional"}));
    auto critical = TRY(reader.require("critical"));
    TRY(critical.expect_object());
    TRY(allow_members(critical, {"type", "image", "identity"}));
    auto type = TRY(critical.require("type"));
    if (TRY(type.as_string()) != kClaimType) return type.refuse("is not a container signature");
    auto image = TRY(critical.require("image"));
    TRY(image.expect_object());
    TRY(allow_members(image, {"docker-manifest-digest"}));
    auto identity = TRY(critical.require("identity"));
    TRY(identity.expect_object());
    TRY(allow_members(identity, {"docker-reference"}));
    SignedClaim out;
    out.digest =
        TRY(spec::Digest::parse(TRY(TRY(image.require("docker-manifest-digest")).as_string())));
    out.reference = TRY(TRY(identity.require("docker-reference")).as_string());
    return out;
}

}  // namespace hull::registry
