#include <doctest/doctest.h>

#include "registry/lookaside.hpp"
#include "registry/policy.hpp"

using namespace hull;
using namespace hull::registry;

namespace {
Policy parse(const char* text) {
    auto policy = parse_policy(text, "policy.json");
    REQUIRE_MESSAGE(policy.has_value(), (policy ? "" : policy.error().to_string()));
    return *policy;
}
spec::Reference reference(const char* text) {
    return *spec::parse_reference(text);
}
const char* kDigest = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
}  // namespace

TEST_CASE("the most special scope decides, then the transport, then the default") {
    auto policy = parse(R"({"default":[{"type":"reject"}],"transports":{"docker":{
        "": [{"type":"insecureAcceptAnything"}],
        "h.example/team": [{"type":"reject"}],
        "h.example/team/ok:1": [{"type":"insecureAcceptAnything"}],
        "*.wild.example": [{"type":"reject"}]}}})");
    auto scope = [&](const char* name) {
        return policy.find("docker", docker_scopes(reference(name))).scope;
    };
    CHECK(scope("h.example/team/ok:1") == "docker h.example/team/ok:1");
    CHECK(scope("h.example/team/ok:2") == "docker h.example/team");
    CHECK(scope("h.example/teams") == "docker");
    CHECK(scope("a.wild.example/x") == "docker *.wild.example");
    CHECK(policy.find("oci", {"/a", "/"}).scope == "default");
}

TEST_CASE("reject refuses by name and accept lets in") {
    auto policy = parse(R"({"default":[{"type":"reject"}],
        "transports":{"docker":{"good.example":[{"type":"insecureAcceptAnything"}]}}})");
    auto digest = *spec::Digest::parse(kDigest);
    auto check = [&](const char* name) {
        auto wanted = reference(name);
        return enforce_policy(policy.find("docker", docker_scopes(wanted)), wanted, digest, {});
    };
    CHECK(check("good.example/a"));
    auto refused = check("bad.example/a");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::denied);
    CHECK(refused.error().message.find("bad.example/a") != std::string::npos);
    CHECK(refused.error().message.find("default") != std::string::npos);
}

TEST_CASE("an image without signature does not meet signedBy") {
    auto policy =
        parse(R"({"default":[{"type":"signedBy","keyType":"GPGKeys","keyData":"a2V5"}]})");
    auto wanted = reference("h.example/a");
    CHECK(needs_signatures(policy.fallback));
    auto refused = enforce_policy(policy.find("docker", docker_scopes(wanted)), wanted,
                                  *spec::Digest::parse(kDigest), {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find("no signature") != std::string::npos);
}

TEST_CASE("a policy with an unknown or doubtful member is refused as a whole") {
    for (
        const char* bad :
        {R"({})", R"({"default":[]})", R"({"default":[{"type":"rejct"}]})",
         R"({"default":[{"type":"reject","extra":1}]})",
         R"({"default":[{"type":"reject"}],"transport":{}})",
         R"({"default":[{"type":"signedBy"}]})",
         R"({"default":[{"type":"signedBy","keyType":"GPGKeys"}]})",
         R"({"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"relative"}]})",
         R"({"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/a","keyData":"YQ=="}]})",
         R"({"default":[{"type":"signedBy","keyType":"X509","keyPath":"/a"}]})",
         R"({"default":[{"type":"sigstoreSigned","keyPath":"/a"}]})",
         R"({"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/a","signedIdentity":)"
         R"({"type":"exactReference","dockerReference":"a.example/x"}}]})",
         R"({"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/a","signedIdentity":)"
         R"({"type":"remapIdentity","prefix":"a.example/x:1","signedPrefix":"b"}}]})",
         R"({"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]})"}) {
        INFO(bad);
        CHECK_FALSE(parse_policy(bad, "policy.json"));
    }
}

TEST_CASE("a signed identity counts for what it names") {
    PolicyRequirement rule;
    rule.kind = PolicyRequirement::Kind::signed_by;
    auto tagged = reference("h.example/a:1");
    CHECK(identity_matches(rule, tagged, "h.example/a:1"));
    CHECK_FALSE(identity_matches(rule, tagged, "h.example/a:2"));
    CHECK_FALSE(identity_matches(rule, tagged, "h.example/b:1"));
    CHECK_FALSE(identity_matches(rule, tagged, "not a name"));
    auto pinned = reference((std::string{"h.example/a@"} + kDigest).c_str());
    CHECK(identity_matches(rule, pinned, "h.example/a:2"));
    rule.identity = PolicyRequirement::Identity::repository;
    CHECK(identity_matches(rule, tagged, "h.example/a:2"));
    rule.identity = PolicyRequirement::Identity::exact_repository;
    rule.identity_value = "other.example/b";
    CHECK(identity_matches(rule, tagged, "other.example/b:9"));
    CHECK_FALSE(identity_matches(rule, tagged, "h.example/a:1"));
    rule.identity = PolicyRequirement::Identity::remap;
    rule.identity_value = "h.example";
    rule.signed_prefix = "origin.example";
    CHECK(identity_matches(rule, tagged, "origin.example/a:1"));
    CHECK_FALSE(identity_matches(rule, tagged, "h.example/a:1"));
    rule.identity_value = "localhost";  // is not the registry on one of its ports
    CHECK(identity_matches(rule, reference("localhost:5000/a:1"), "localhost:5000/a:1"));
    CHECK_FALSE(identity_matches(rule, reference("localhost:5000/a:1"), "origin.example:5000/a:1"));
    rule.identity = PolicyRequirement::Identity::exact_reference;
    rule.identity_value = "h.example/a";
    CHECK_FALSE(identity_matches(rule, tagged, "h.example/a"));
}

TEST_CASE("a signature's claim is read strictly") {
    std::string good = std::string{R"({"critical":{"type":"atomic container signature","image":)"} +
                       R"({"docker-manifest-digest":")" + kDigest +
                       R"("},"identity":{"docker-reference":"a:1"}},"optional":{"creator":"x"}})";
    auto claim = parse_signed_claim(good);
    REQUIRE(claim);
    CHECK(claim->reference == "a:1");
    CHECK(claim->digest.to_string() == kDigest);
    CHECK_FALSE(parse_signed_claim("{}"));
    CHECK_FALSE(parse_signed_claim(R"({"critical":{"type":"other","image":{},"identity":{}}})"));
    CHECK_FALSE(parse_signed_claim(good.substr(0, good.size() - 1)));
}

TEST_CASE("registries.d names the places of signatures") {
    auto map = parse_registries_d(
        "default-docker:\n  lookaside: https://all.example/sigs # here\n"
        "docker:\n  # one\n  h.example:5000/team:\n    sigstore: \"file:///a b\"\n"
        "    lookaside-staging: file:///w\n  other.example:\n    lookaside: https://o.example\n",
        "x.yaml");
    REQUIRE(map);
    CHECK(map->at("") == "https://all.example/sigs");
    CHECK(map->at("h.example:5000/team") == "file:///a b");
    CHECK(lookaside_base(*map, reference("h.example:5000/team/x")) == "file:///a b");
    CHECK(lookaside_base(*map, reference("h.example:5000/x")) == "https://all.example/sigs");
    CHECK_FALSE(parse_registries_d("docker:\n  - list\n", "x.yaml"));
    CHECK_FALSE(parse_registries_d("unknown:\n  a: b\n", "x.yaml"));
    CHECK_FALSE(parse_registries_d("docker: {a: b}\n", "x.yaml"));
    CHECK_FALSE(parse_registries_d("docker:\n\ta: b\n", "x.yaml"));
}
