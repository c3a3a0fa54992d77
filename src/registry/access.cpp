#include "registry/access.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::registry {
namespace {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

/// Adds what one certs.d folder holds.
Result<void> read_certificates(const std::string& folder, HostTrust& trust) {
    for (const auto& name : TRY(list_directory(folder))) {
        std::string path = join_path(folder, name);
        if (name.ends_with(".crt")) {
            trust.extra_ca_pem += TRY(read_file(path, 4U << 20U)) + "\n";
        } else if (name.ends_with(".cert")) {
            std::string key = path.substr(0, path.size() - 5) + ".key";
            if (!path_exists(key))
                return fail(Errc::invalid, path + ": its key " + key + " is missing",
                            "CA certificates end in .crt, client certificates in .cert");
            trust.client_certificate = path;
            trust.client_key = key;
        } else if (name.ends_with(".key")) {
            std::string certificate = path.substr(0, path.size() - 4) + ".cert";
            if (!path_exists(certificate))
                return fail(Errc::invalid,
                            path + ": its certificate " + certificate + " is missing",
                            "CA certificates end in .crt, client certificates in .cert");
        }
    }
    return {};
}

}  // namespace

std::vector<std::string> certificate_folders() {
    std::vector<std::string> out;
    std::string config = environment("XDG_CONFIG_HOME");
    std::string home = environment("HOME");
    if (config.empty() && !home.empty()) config = join_path(home, ".config");
    if (!config.empty()) out.push_back(join_path(config, "containers/certs.d"));
    out.emplace_back("/etc/containers/certs.d");
    out.emplace_back("/etc/docker/certs.d");
    return out;
}

Result<HostTrust> find_trust(const AccessOptions& options, const RegistriesConf& conf,
                             const std::string& authority) {
    HostTrust trust;
    std::string host = authority.substr(0, authority.rfind(':'));
    bool insecure = !options.tls_verify.value_or(!conf.is_insecure(authority));
    trust.verify = !insecure;
    trust.plain_http_allowed = insecure || is_loopback_host(host) || is_loopback_host(authority);
    if (!options.certificate_folder.empty()) {
        TRY(with_context(read_certificates(options.certificate_folder, trust), "--cert-dir"));
        return trust;
    }
    for (const auto& folder : certificate_folders()) {
        std::string path = join_path(folder, authority);
        if (!path_exists(path)) continue;
        TRY(read_certificates(path, trust));
        break;
    }
    return trust;
}

Result<std::shared_ptr<Access>> Access::create(const AccessOptions& options) {
    std::shared_ptr<Access> access{new Access(options)};
    access->conf_ = TRY(load_registries_conf(options.registries_conf));
    TransportSettings settings;
    // The transport must not outlive what this refers to; Access owns both.
    settings.trust = [raw = access.get()](const std::string& authority) {
        return raw->trust(authority);
    };
    settings.cancelled = options.cancelled;
    settings.stall_timeout = options.timeout;
    settings.least_rate = options.least_rate;
    settings.connect_timeout = std::min(settings.connect_timeout, options.timeout);
    access->fetcher_ =
        std::make_shared<Fetcher>(Transport::create(std::move(settings)), options.retry);
    return access;
}

Result<HostTrust> Access::trust(const std::string& authority) {
    AccessOptions options = options_;
    {
        std::lock_guard lock{trust_mutex_};
        // registries.conf says it of a prefix with a path or of a mirror; the connection knows the
        // host alone.
        if (insecure_hosts_.contains(authority) && !options.tls_verify) options.tls_verify = false;
    }
    return find_trust(options, conf_, authority);
}

Result<std::optional<Credential>> Access::credential(const std::string& host,
                                                     const std::string& repository) {
    if (options_.anonymous) return std::nullopt;
    if (options_.credential) return options_.credential;
    std::string key = host + "/" + repository;
    auto known = credentials_.find(key);
    if (known != credentials_.end()) return known->second;
    auto found = TRY(find_credential(find_auth_paths(options_.auth_file), host, repository));
    credentials_[key] = found;
    return found;
}

Result<void> Access::prepare_host(const std::string& host, const std::string& repository) {
    std::lock_guard lock{mutex_};
    TRY(credential(host, repository));
    return {};
}

Result<void> Access::prepare(const spec::Reference& reference) {
    for (const auto& choice : TRY(sources(reference)))
        TRY(prepare_host(choice.host, choice.repository));
    return {};
}

Result<std::vector<SourceChoice>> Access::sources(const spec::Reference& reference) const {
    return choose_sources(conf_, reference.domain, reference.path, reference.digest.has_value());
}

Result<std::shared_ptr<Client>> Access::client(const std::string& host,
                                               const std::string& repository, bool insecure) {
    std::lock_guard lock{mutex_};
    std::string key = host + "/" + repository;
    auto known = clients_.find(key);
    if (known != clients_.end()) return known->second;
    ClientRequest request;
    request.fetcher = fetcher_;
    request.host = host;
    request.credential = TRY(credential(host, repository));
    if (insecure) {
        std::lock_guard trust_lock{trust_mutex_};
        insecure_hosts_.insert(host);
    }
    request.may_use_plain_http = TRY(trust(host)).plain_http_allowed;
    auto client = TRY(Client::connect(request));
    clients_[key] = client;
    return client;
}

Result<std::vector<spec::Reference>> Access::candidates(const std::string& name) const {
    std::vector<spec::Reference> out;
    size_t end = name.find_first_of(":@");
    auto alias =
        spec::names_registry(name) ? conf_.aliases.end() : conf_.aliases.find(name.substr(0, end));
    if (alias != conf_.aliases.end()) {
        std::string rest = end == std::string::npos ? "" : name.substr(end);
        out.push_back(TRY(spec::parse_reference(alias->second + rest)));
    } else if (spec::names_registry(name) || conf_.search_registries.empty()) {
        out.push_back(TRY(spec::parse_reference(name)));
    } else {
        TRY(spec::parse_reference(name));  // the message names what was written
        for (const auto& registry : conf_.search_registries)
            out.push_back(TRY(spec::parse_reference(registry + "/" + name)));
    }
    return out;
}

Result<spec::Reference> Access::complete(const std::string& name) const {
    return TRY(candidates(name)).front();
}

}  // namespace hull::registry
