#include "registry/policy.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/base64.hpp"
#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "registry/credentials.hpp"

namespace hull::registry {
namespace {

using Identity = PolicyRequirement::Identity;
using Kind = PolicyRequirement::Kind;

/// The bytes of an OpenPGP key: gpgv reads no ASCII armour.
std::string remove_armour(const std::string& key) {
    size_t begin = key.find("-----BEGIN PGP");
    if (begin == std::string::npos) return key;
    std::string base64;
    bool in_body = false;
    for (auto line : split_lines(std::string_view{key}.substr(begin))) {
        line = trim(line);
        if (line.starts_with("-----END")) break;
        if (line.empty())
            in_body = true;
        else if (in_body && !line.starts_with('='))  // "=xxxx" is the checksum
            base64 += line;
    }
    return decode_base64(base64).value_or("");
}

Result<Fd> key_ring(const PolicyRequirement& requirement) {
    std::string ring = remove_armour(requirement.key_data);
    for (const auto& path : requirement.key_paths)
        ring += remove_armour(TRY(with_context(read_file(path, 4U << 20U), "policy key")));
    Fd file{::memfd_create("keyring", MFD_CLOEXEC)};
    if (!file) return fail_errno(errno, "make a key ring in memory");
    TRY(write_all(file.get(), ring));
    return file;
}

/// The signed text, if the signature is good.
Result<std::string> check_signature(const std::string& signature, int ring) {
    constexpr int kRingNumber = 9;
    SpawnRequest request;
    request.program = "gpgv";
    request.args = {"--quiet",
                    "--status-fd",
                    "2",
                    "--keyring",
                    "/proc/self/fd/" + std::to_string(kRingNumber),
                    "--output",
                    "-"};
    request.fds = {{ring, kRingNumber}};
    auto output = TRY(with_context(run_command(request, signature), "check a signature"));
    bool valid = output.err.find("[GNUPG:] VALIDSIG ") != std::string::npos;
    if (!output.status.success() || !valid) {
        bool no_key = output.err.find("[GNUPG:] NO_PUBKEY ") != std::string::npos;
        return fail(Errc::denied, no_key ? "it was made by another key" : "it is not valid");
    }
    return output.out;
}

Result<void> check_one(const PolicyRequirement& requirement, const spec::Reference& reference,
                       const spec::Digest& manifest, const std::string& signature, int ring) {
    auto text = TRY(check_signature(signature, ring));
    auto claim = TRY(parse_signed_claim(text));
    if (claim.digest != manifest) return fail(Errc::denied, "it is for another image");
    if (!identity_matches(requirement, reference, claim.reference))
        return fail(Errc::denied, "it is for the name " + quote(claim.reference));
    return {};
}

Result<void> check_signed_by(const PolicyRequirement& requirement, const spec::Reference& reference,
                             const spec::Digest& manifest,
                             const std::vector<std::string>& signatures) {
    if (signatures.empty()) return fail(Errc::denied, "it has no signature");
    Fd ring = TRY(key_ring(requirement));
    std::string reasons;
    for (size_t i = 0; i < signatures.size(); ++i) {
        auto good = check_one(requirement, reference, manifest, signatures[i], ring.get());
        if (good) return {};
        if (good.error().code != Errc::denied && good.error().code != Errc::invalid) return good;
        reasons += (i == 0 ? "" : "; ") + std::string{"signature "} + std::to_string(i + 1) + ": " +
                   good.error().to_string();
    }
    return fail(Errc::denied, reasons);
}

/// Of whole parts of a repository's name: "localhost" is no prefix of "localhost:5000/a".
bool under_prefix(const std::string& repository, const std::string& prefix) {
    if (!repository.starts_with(prefix)) return false;
    return repository.size() == prefix.size() || repository[prefix.size()] == '/';
}

}  // namespace

Policy::Found Policy::find(const std::string& transport,
                           const std::vector<std::string>& scopes) const {
    auto known = transports.find(transport);
    if (known != transports.end()) {
        for (const auto& scope : scopes)
            if (auto entry = known->second.find(scope); entry != known->second.end())
                return {&entry->second, transport + " " + scope};
        if (auto entry = known->second.find(""); entry != known->second.end())
            return {&entry->second, transport};
    }
    return {&fallback, "default"};
}

std::vector<std::string> docker_scopes(const spec::Reference& reference) {
    std::vector<std::string> out;
    std::string name = reference.repository();
    if (reference.digest) out.push_back(name + "@" + reference.digest->to_string());
    if (!reference.tag.empty()) out.push_back(name + ":" + reference.tag);
    for (;;) {
        out.push_back(name);
        size_t slash = name.rfind('/');
        if (slash == std::string::npos) break;
        name.resize(slash);
    }
    // "a.b.c:5000" -> "*.b.c:5000", "*.c:5000"
    for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1))
        out.push_back("*" + name.substr(dot));
    return out;
}

bool needs_signatures(const PolicyRequirements& requirements) {
    return std::any_of(requirements.begin(), requirements.end(),
                       [](const auto& one) { return one.kind == Kind::signed_by; });
}

std::vector<std::string> key_files(const PolicyRequirements& requirements) {
    std::vector<std::string> out;
    for (const auto& one : requirements)
        out.insert(out.end(), one.key_paths.begin(), one.key_paths.end());
    return out;
}

bool identity_matches(const PolicyRequirement& requirement, const spec::Reference& wanted,
                      const std::string& claimed) {
    auto parsed = spec::parse_reference(claimed, {.tag = ""});
    if (!parsed) return false;
    // A bare repository names no image: it is equal to none.
    bool names_image = !parsed->tag.empty() || parsed->digest;
    auto equal = [&](const spec::Reference& expected) {
        return names_image && *parsed == expected;
    };
    switch (requirement.identity) {
        case Identity::exact:
            return equal(wanted);
        case Identity::repository:
            return parsed->repository() == wanted.repository();
        case Identity::repository_digest_or_exact:
            return wanted.digest ? parsed->repository() == wanted.repository() : equal(wanted);
        case Identity::exact_reference: {
            auto expected = spec::parse_reference(requirement.identity_value, {.tag = ""});
            return expected && equal(*expected);
        }
        case Identity::exact_repository: {
            auto expected = spec::parse_reference(requirement.identity_value, {.tag = ""});
            return expected && parsed->repository() == expected->repository();
        }
        case Identity::remap: {
            std::string name = wanted.to_string();
            if (under_prefix(wanted.repository(), requirement.identity_value))
                name = requirement.signed_prefix + name.substr(requirement.identity_value.size());
            auto expected = spec::parse_reference(name, {.tag = ""});
            if (!expected) return false;
            return expected->digest ? parsed->repository() == expected->repository()
                                    : equal(*expected);
        }
    }
    return false;
}

Result<void> enforce_policy(const Policy::Found& demands, const spec::Reference& reference,
                            const spec::Digest& manifest,
                            const std::vector<std::string>& signatures) {
    for (const auto& requirement : *demands.requirements) {
        if (requirement.kind == Kind::accept) continue;
        std::string what =
            reference.to_string() + " is refused by policy.json (" + demands.scope + ")";
        if (requirement.kind == Kind::reject)
            return fail(Errc::denied, what, "change the policy, or use another image");
        auto good = check_signed_by(requirement, reference, manifest, signatures);
        if (!good)
            return fail(Errc::denied, what + ": " + good.error().to_string(),
                        "it must be signed by the key in the policy");
    }
    return {};
}

}  // namespace hull::registry
