#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::registry {

/// One place that an image may come from.
struct Location {
    std::string location;   ///< "host[:port][/path]"
    bool insecure = false;  ///< plain http and untrusted certificates are allowed
    enum class Use { all, digest_only, tag_only };
    Use use = Use::all;  ///< which references a mirror serves
};

/// What is said about all names that begin with `prefix`.
struct RegistryRule {
    std::string prefix;    ///< "host[:port][/path]", or "*.example.com"
    std::string location;  ///< what takes the prefix's place; empty: the prefix itself
    bool insecure = false;
    bool blocked = false;
    bool mirror_by_digest_only = false;
    std::vector<Location> mirrors;
};

/// @see containers-registries.conf(5)
struct RegistriesConf {
    std::vector<std::string> search_registries;
    std::vector<RegistryRule> rules;
    std::map<std::string, std::string> aliases;  ///< short name -> full name

    /// The rule with the longest prefix that `name` ("host/path") falls under.
    const RegistryRule* find_rule(std::string_view name) const;
    bool is_insecure(std::string_view name) const;
};

/// Parses version 2 and the older version 1 of the format.
/// @errors invalid: with file, line and key
Result<RegistriesConf> parse_registries_conf(std::string_view text, std::string_view what);

/// Loads `explicit_path`, else CONTAINERS_REGISTRIES_CONF, ~/.config/containers/registries.conf or
/// /etc/containers/registries.conf with their registries.conf.d drop-ins. Nothing there: empty.
Result<RegistriesConf> load_registries_conf(const std::string& explicit_path);

/// Where to fetch `repository` of `host` from, in this order: mirrors, then the registry itself.
struct SourceChoice {
    std::string host;        ///< with port
    std::string repository;  ///< after rewriting
    bool insecure = false;
    bool is_mirror = false;
};
/// @errors denied: blocked
Result<std::vector<SourceChoice>> choose_sources(const RegistriesConf& conf,
                                                 const std::string& host,
                                                 const std::string& repository, bool by_digest);

}  // namespace hull::registry
