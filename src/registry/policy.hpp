#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "spec/digest.hpp"
#include "spec/reference.hpp"

namespace hull::registry {

/// One demand on an image. All demands of a scope must be met.
struct PolicyRequirement {
    enum class Kind { accept, reject, signed_by };
    enum class Identity {
        repository_digest_or_exact,  ///< default: equal, or same repository when pulled by digest
        exact,
        repository,
        exact_reference,   ///< `identity_value` is the name that must be signed
        exact_repository,  ///< `identity_value` is the repository that must be signed
        remap,             ///< `identity_value` (prefix) is replaced by `signed_prefix`
    };
    Kind kind = Kind::reject;
    std::vector<std::string> key_paths;  ///< OpenPGP public keys, armoured or not
    std::string key_data;                ///< the same, decoded from the policy itself
    Identity identity = Identity::repository_digest_or_exact;
    std::string identity_value;
    std::string signed_prefix;
};
using PolicyRequirements = std::vector<PolicyRequirement>;

/// Which images may be used. @see containers-policy.json(5)
struct Policy {
    PolicyRequirements fallback;  ///< "default"
    /// transport ("docker") -> scope ("" for the whole transport) -> demands
    std::map<std::string, std::map<std::string, PolicyRequirements>> transports;

    /// The demands that hold for an image and the scope they were found under ("default", "docker
    /// 127.0.0.1:5000/team").
    struct Found {
        const PolicyRequirements* requirements;
        std::string scope;
    };
    Found find(const std::string& transport, const std::vector<std::string>& scopes) const;
};

/// @errors invalid: with the field; unsupported: a kind of demand hull cannot check (sigstore)
Result<Policy> parse_policy(std::string_view text, std::string_view what);

/// Loads `explicit_path`, else ~/.config/containers/policy.json, else /etc/containers/policy.json;
/// when there is none, everything is accepted.
Result<Policy> load_policy(const std::string& explicit_path);

/// The scopes of a docker reference, most special first: with tag or digest, repository, each
/// namespace, host, "*.example.com".
std::vector<std::string> docker_scopes(const spec::Reference& reference);

/// Whether any demand needs signatures, and so programs and files to check them.
bool needs_signatures(const PolicyRequirements& requirements);
/// The keys' files, for the confinement.
std::vector<std::string> key_files(const PolicyRequirements& requirements);

/// What a simple signature says. @see containers-signature(5)
struct SignedClaim {
    std::string reference;
    spec::Digest digest;
};
Result<SignedClaim> parse_signed_claim(std::string_view json);
/// Whether a signature for `claimed` counts for `wanted`.
bool identity_matches(const PolicyRequirement& requirement, const spec::Reference& wanted,
                      const std::string& claimed);

/// Checks an image against its demands.
/// @param signatures  OpenPGP messages found for the manifest; may be empty
/// @errors denied: names the scope and what failed
Result<void> enforce_policy(const Policy::Found& demands, const spec::Reference& reference,
                            const spec::Digest& manifest,
                            const std::vector<std::string>& signatures);

}  // namespace hull::registry
