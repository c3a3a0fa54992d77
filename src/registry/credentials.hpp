#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::registry {

/// What proves to a registry who one is.
struct Credential {
    std::string username;
    std::string password;
    std::string identity_token;  ///< an OAuth 2 refresh token, in the place of a password
};

/// One file of Docker's config.json or containers-auth.json(5) form.
struct AuthFile {
    std::map<std::string, Credential> auths;  ///< by "host", "host/namespace/repository"
    std::string credentials_store;            ///< helper for every registry; empty: none
    std::map<std::string, std::string> credential_helpers;  ///< by host
};
/// @errors invalid: no such file's form, naming the field
Result<AuthFile> parse_auth_file(std::string_view text, const std::string& path);

/// Which files hold credentials.
struct AuthPaths {
    std::vector<std::string> read;  ///< in order; missing ones are skipped
    std::string write;              ///< where login stores, and logout removes
};
/// `explicit_path` (--authfile) or REGISTRY_AUTH_FILE alone, else
/// $XDG_RUNTIME_DIR/containers/auth.json (root: /run/containers/0/auth.json),
/// ~/.config/containers/auth.json, $DOCKER_CONFIG or ~/.docker/config.json, which is the one
/// written.
/// @see containers-auth.json(5)
AuthPaths find_auth_paths(const std::string& explicit_path);

/// The credential for a repository: the longest matching entry of the first file that has one;
/// credential helpers are run as docker runs them.
/// @errors invalid: a file that cannot be understood; io: a helper that failed
Result<std::optional<Credential>> find_credential(const AuthPaths& paths, const std::string& host,
                                                  const std::string& repository);

/// Stores for `host` (in the helper if the file names one).
Result<void> save_credential(const AuthPaths& paths, const std::string& host,
                             const Credential& credential);
/// @return  whether there was one.
Result<bool> erase_credential(const AuthPaths& paths, const std::string& host);
/// Every host with a stored credential, in all files; helpers are not asked.
Result<std::vector<std::string>> list_credentials(const AuthPaths& paths);

}  // namespace hull::registry
