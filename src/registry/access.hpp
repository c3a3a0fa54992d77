#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "registry/client.hpp"
#include "registry/registries_conf.hpp"
#include "spec/reference.hpp"

namespace hull::registry {

/// What the command line says about registries.
struct AccessOptions {
    std::string registries_conf;           ///< --registries-conf; empty: the usual files
    std::string auth_file;                 ///< --authfile
    std::string certificate_folder;        ///< --cert-dir: ca .crt, client .cert and .key
    std::optional<bool> tls_verify;        ///< --tls-verify; false also allows plain http
    std::optional<Credential> credential;  ///< --creds
    bool anonymous = false;                ///< --no-creds
    RetryPolicy retry;
    std::chrono::seconds timeout{60};  ///< --timeout: below `least_rate`, and for connecting
    uint32_t least_rate = kLeastRate;  ///< --min-rate: bytes a second
    const std::atomic<bool>* cancelled = nullptr;
};

/// The folders that may hold HOST/{*.crt,*.cert,*.key}, first wins.
/// @see containers-certs.d(5)
std::vector<std::string> certificate_folders();

/// How `authority` (host:port) is trusted: certificates in the first certs.d folder that has it,
/// and what is said about insecure registries.
/// @errors invalid: a .cert without its .key
Result<HostTrust> find_trust(const AccessOptions& options, const RegistriesConf& conf,
                             const std::string& authority);

/// Everything needed to reach registries: settings, credentials, one client for each.
class Access {
  public:
    static Result<std::shared_ptr<Access>> create(const AccessOptions& options);

    /// Looks up the credentials of the hosts that `reference` leads to (mirrors too), running
    /// credential helpers: do it before the process confines itself.
    Result<void> prepare(const spec::Reference& reference);
    /// As prepare(), for a registry alone.
    Result<void> prepare_host(const std::string& host, const std::string& repository);

    /// Where to read `reference` from, in order.
    Result<std::vector<SourceChoice>> sources(const spec::Reference& reference) const;
    /// The client for a host; made at the first call.
    Result<std::shared_ptr<Client>> client(const std::string& host, const std::string& repository,
                                           bool insecure = false);
    const RegistriesConf& conf() const { return conf_; }
    /// What a name as a person types it may stand for, in the order of trying: with a registry
    /// itself; its alias; one for each search registry of registries.conf; docker.io.
    Result<std::vector<spec::Reference>> candidates(const std::string& name) const;
    /// The first of them.
    Result<spec::Reference> complete(const std::string& name) const;
    const std::shared_ptr<Fetcher>& fetcher() const { return fetcher_; }

  private:
    explicit Access(AccessOptions options) : options_(std::move(options)) {}
    Result<std::optional<Credential>> credential(const std::string& host,
                                                 const std::string& repository);
    /// find_trust(), with what the clients that were made know of the host.
    Result<HostTrust> trust(const std::string& authority);
    AccessOptions options_;
    RegistriesConf conf_;
    std::shared_ptr<Fetcher> fetcher_;
    std::mutex mutex_;
    std::map<std::string, std::optional<Credential>> credentials_;
    std::map<std::string, std::shared_ptr<Client>> clients_;
    std::mutex trust_mutex_;
    std::set<std::string> insecure_hosts_;
};

}  // namespace hull::registry
