#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/base64.hpp"
#include "base/file.hpp"
#include "base/json_io.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "registry/credentials.hpp"

namespace hull::registry {
namespace {

constexpr std::string_view kDockerHubKey = "https://index.docker.io/v1/";
constexpr std::string_view kTokenUser = "<token>";  // docker-credential-helpers: Secret is a token

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

/// "https://index.docker.io/v1/" and "index.docker.io" are docker.io; schemes are of no meaning.
std::string normal_key(std::string_view key) {
    for (std::string_view scheme : {"https://", "http://"})
        if (key.starts_with(scheme)) key.remove_prefix(scheme.size());
    while (key.ends_with('/'))
        key.remove_suffix(1);
    for (std::string_view version : {"/v1", "/v2"})
        if (key.ends_with(version)) key.remove_suffix(version.size());
    if (key == "index.docker.io" || key == "registry-1.docker.io") return "docker.io";
    return std::string{key};
}

std::string server_of(const std::string& host) {
    return host == "docker.io" ? std::string{kDockerHubKey} : host;
}

Result<Credential> parse_auth(const JsonReader& entry) {
    Credential out;
    TRY(entry.expect_object());
    TRY(entry.read("username", out.username));
    TRY(entry.read("password", out.password));
    TRY(entry.read("identitytoken", out.identity_token));
    auto auth = entry.find("auth");
    if (!auth) return out;
    std::string packed = TRY(auth->as_string());
    if (packed.empty()) return out;
    auto plain = decode_base64(packed);
    auto colon = plain ? plain->find(':') : std::string::npos;
    if (colon == std::string::npos)
        return auth->refuse("must be \"user:password\" in base64", "log in again: hull login");
    out.username = plain->substr(0, colon);
    out.password = plain->substr(colon + 1);
    while (out.password.ends_with('\0'))
        out.password.pop_back();  // docker pads so
    return out;
}

Result<AuthFile> load_auth_file(const std::string& path) {
    if (!path_exists(path)) return AuthFile{};
    return parse_auth_file(TRY(read_file(path, 4U << 20U)), path);
}

Result<std::string> helper_program(const std::string& name) {
    if (name.empty() || name.find('/') != std::string::npos)
        return fail(Errc::invalid, "credential helper " + quote(name) + ": not a program's name");
    return "docker-credential-" + name;
}

Result<CommandOutput> run_helper(const std::string& name, const std::string& verb,
                                 const std::string& input) {
    SpawnRequest request;
    request.program = TRY(helper_program(name));
    request.args = {verb};
    auto output = run_command(request, input);
    if (!output)
        return fail(std::move(output)
                        .error()
                        .with_context("credential helper " + request.program)
                        .with_hint("install it, or remove it from the credentials file"));
    return output;
}

Result<std::optional<Credential>> ask_helper(const std::string& name, const std::string& host) {
    auto output = TRY(run_helper(name, "get", server_of(host) + "\n"));
    if (!output.status.success()) {
        std::string said = output.out + output.err;
        if (said.find("credentials not found") != std::string::npos) return std::nullopt;
        return fail(Errc::io,
                    "docker-credential-" + name + " get " + host + " failed: " + quote(trim(said)));
    }
    Json document = TRY(parse_json(output.out, "answer of docker-credential-" + name));
    JsonReader reader{document, ""};
    TRY(reader.expect_object());
    std::string user;
    std::string secret;
    TRY(reader.read("Username", user));
    TRY(reader.read("Secret", secret));
    if (user == kTokenUser) return Credential{"", "", secret};
    return Credential{user, secret, ""};
}

/// "h/a/b" -> "h/a/b", "h/a", "h".
std::vector<std::string> keys_from_longest(const std::string& host, const std::string& repository) {
    std::vector<std::string> out;
    std::string key = repository.empty() ? host : host + "/" + repository;
    while (key.size() > host.size()) {
        out.push_back(key);
        key.resize(key.rfind('/'));
    }
    out.push_back(host);
    return out;
}

Result<std::optional<Credential>> find_in(const AuthFile& file, const std::string& host,
                                          const std::string& repository) {
    for (const auto& [key, helper] : file.credential_helpers)
        if (normal_key(key) == host) {
            auto found = TRY(ask_helper(helper, host));
            if (found) return found;
        }
    if (!file.credentials_store.empty()) {
        auto found = TRY(ask_helper(file.credentials_store, host));
        if (found) return found;
    }
    for (const auto& wanted : keys_from_longest(host, repository))
        for (const auto& [key, credential] : file.auths) {
            bool usable = !credential.username.empty() || !credential.identity_token.empty();
            if (usable && normal_key(key) == wanted) return credential;
        }
    return std::nullopt;
}

/// The helper that keeps the credentials of `host`, or an empty name.
std::string helper_for(const AuthFile& file, const std::string& host) {
    for (const auto& [key, helper] : file.credential_helpers)
        if (normal_key(key) == host) return helper;
    return file.credentials_store;
}

Result<Json> load_document(const std::string& path) {
    if (!path_exists(path)) return Json::object();
    Json document = TRY(load_json(path));
    if (!document.is_object()) return fail(Errc::invalid, path + ": must be an object");
    return document;
}

Result<void> store_document(const std::string& path, const Json& document) {
    TRY(create_directories(parent_path(path), 0700));
    return write_file_atomically(path, dump_json(document, 4) + "\n",
                                 {.mode = 0600, .durable = true});
}

}  // namespace

Result<AuthFile> parse_auth_file(std::string_view text, const std::string& path) {
    Json document = TRY(parse_json(text, path));
    JsonReader reader{document, path};
    TRY(reader.expect_object());
    AuthFile out;
    TRY(reader.read("credsStore", out.credentials_store));
    if (auto helpers = reader.find("credHelpers"))
        for (const auto& [host, helper] : TRY(helpers->members()))
            out.credential_helpers[host] = TRY(helper.as_string());
    if (auto auths = reader.find("auths"))
        for (const auto& [host, entry] : TRY(auths->members()))
            out.auths[host] = TRY(parse_auth(entry));
    return out;
}

AuthPaths find_auth_paths(const std::string& explicit_path) {
    std::string only = explicit_path.empty() ? environment("REGISTRY_AUTH_FILE") : explicit_path;
    if (!only.empty()) return {{only}, only};
    AuthPaths out;
    std::string runtime = environment("XDG_RUNTIME_DIR");
    if (runtime.empty() || ::geteuid() == 0)
        runtime = "/run/containers/" + std::to_string(::geteuid());
    else
        runtime = join_path(runtime, "containers");
    out.read.push_back(join_path(runtime, "auth.json"));
    std::string home = environment("HOME");
    if (home.empty()) home = ::geteuid() == 0 ? "/root" : "/nonexistent";
    std::string config = environment("XDG_CONFIG_HOME");
    if (config.empty()) config = join_path(home, ".config");
    out.read.push_back(join_path(config, "containers/auth.json"));
    std::string docker = environment("DOCKER_CONFIG");
    if (docker.empty()) docker = join_path(home, ".docker");
    out.write = join_path(docker, "config.json");
    out.read.push_back(out.write);
    return out;
}

Result<std::optional<Credential>> find_credential(const AuthPaths& paths, const std::string& host,
                                                  const std::string& repository) {
    for (const auto& path : paths.read) {
        AuthFile file = TRY(load_auth_file(path));
        auto found = TRY(with_context(find_in(file, host, repository), path));
        if (found) return found;
    }
    return std::nullopt;
}

Result<void> save_credential(const AuthPaths& paths, const std::string& host,
                             const Credential& credential) {
    std::string helper = helper_for(TRY(load_auth_file(paths.write)), host);
    bool is_token = !credential.identity_token.empty();
    if (!helper.empty()) {
        Json message = {{"ServerURL", server_of(host)},
                        {"Username", is_token ? std::string{kTokenUser} : credential.username},
                        {"Secret", is_token ? credential.identity_token : credential.password}};
        auto output = TRY(run_helper(helper, "store", dump_json(message)));
        if (!output.status.success())
            return fail(Errc::io, "docker-credential-" + helper + " store " + host +
                                      " failed: " + quote(trim(output.out + output.err)));
        return {};
    }
    Json document = TRY(load_document(paths.write));
    Json entry = {{"auth", encode_base64(credential.username + ":" + credential.password)}};
    if (is_token) entry["identitytoken"] = credential.identity_token;
    if (!document["auths"].is_object()) document["auths"] = Json::object();
    document["auths"][server_of(host)] = entry;
    return store_document(paths.write, document);
}

Result<bool> erase_credential(const AuthPaths& paths, const std::string& host) {
    std::string helper = helper_for(TRY(load_auth_file(paths.write)), host);
    bool erased = false;
    if (!helper.empty()) {
        auto output = TRY(run_helper(helper, "erase", server_of(host) + "\n"));
        erased = output.status.success();
    }
    if (!path_exists(paths.write)) return erased;
    Json document = TRY(load_document(paths.write));
    if (!document["auths"].is_object()) return erased;
    std::vector<std::string> keys;
    for (const auto& item : document["auths"].items())
        if (normal_key(item.key()) == host) keys.push_back(item.key());
    if (keys.empty()) return erased;
    for (const auto& key : keys)
        document["auths"].erase(key);
    TRY(store_document(paths.write, document));
    return true;
}

Result<std::vector<std::string>> list_credentials(const AuthPaths& paths) {
    std::vector<std::string> out;
    for (const auto& path : paths.read) {
        AuthFile file = TRY(load_auth_file(path));
        for (const auto& [key, credential] : file.auths)
            out.push_back(normal_key(key));
        for (const auto& [key, helper] : file.credential_helpers)
            out.push_back(normal_key(key));
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

}  // namespace hull::registry
