#include "registry/registries_conf.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.hpp"
#include "base/text.hpp"
#include "registry/toml.hpp"

namespace hull::registry {
namespace {

/// A table with the place that messages name.
class Section {
  public:
    Section(const TomlTable& table, std::string_view what) : table_(&table), what_(what) {}

    Result<void> read(std::string_view key, std::string& target) const {
        const TomlValue* value = find(key);
        if (value == nullptr) return {};
        if (value->string() == nullptr) return refuse(*value, key, "a string");
        target = *value->string();
        return {};
    }
    Result<void> read(std::string_view key, bool& target) const {
        const TomlValue* value = find(key);
        if (value == nullptr) return {};
        if (value->boolean() == nullptr) return refuse(*value, key, "true or false");
        target = *value->boolean();
        return {};
    }
    Result<void> read(std::string_view key, std::vector<std::string>& target) const {
        const TomlValue* value = find(key);
        if (value == nullptr) return {};
        if (value->array() == nullptr) return refuse(*value, key, "an array of strings");
        target.clear();
        for (const auto& element : *value->array()) {
            if (element.string() == nullptr) return refuse(element, key, "an array of strings");
            target.push_back(*element.string());
        }
        return {};
    }
    Result<std::vector<Section>> tables(std::string_view key) const {
        std::vector<Section> out;
        const TomlValue* value = find(key);
        if (value == nullptr) return out;
        if (value->array() == nullptr) return refuse(*value, key, "an array of tables");
        for (const auto& element : *value->array()) {
            if (element.table() == nullptr) return refuse(element, key, "an array of tables");
            out.emplace_back(*element.table(), what_);
        }
        return out;
    }
    Result<std::optional<Section>> table(std::string_view key) const {
        const TomlValue* value = find(key);
        if (value == nullptr) return std::nullopt;
        if (value->table() == nullptr) return refuse(*value, key, "a table");
        return Section{*value->table(), what_};
    }
    bool has(std::string_view key) const { return find(key) != nullptr; }
    const TomlTable& members() const { return *table_; }
    tl::unexpected<Error> refuse(const TomlValue& value, std::string_view key,
                                 std::string_view wanted) const {
        return fail(Errc::invalid, std::string{what_} + ":" + std::to_string(value.line) + ": " +
                                       std::string{key} + " must be " + std::string{wanted});
    }

  private:
    const TomlValue* find(std::string_view key) const {
        auto entry = table_->find(key);
        return entry == table_->end() ? nullptr : &entry->second;
    }
    const TomlTable* table_;
    std::string_view what_;
};

Result<void> check_location(std::string_view what, std::string_view key, const std::string& text) {
    bool bad = text.empty() || text.find("://") != std::string::npos || text.ends_with('/') ||
               std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c == 127; });
    if (bad)
        return fail(
            Errc::invalid,
            std::string{what} + ": " + std::string{key} + " " + quote(text) + " is no registry",
            "write it as HOST[:PORT][/PATH], without a scheme");
    return {};
}

Result<Location> parse_mirror(const Section& section, std::string_view what) {
    Location out;
    TRY(section.read("location", out.location));
    TRY(check_location(what, "registry.mirror.location", out.location));
    TRY(section.read("insecure", out.insecure));
    std::string use = "all";
    TRY(section.read("pull-from-mirror", use));
    if (use == "digest-only") {
        out.use = Location::Use::digest_only;
    } else if (use == "tag-only") {
        out.use = Location::Use::tag_only;
    } else if (use != "all") {
        return fail(Errc::invalid, std::string{what} + ": pull-from-mirror " + quote(use) +
                                       " must be all, digest-only or tag-only");
    }
    return out;
}

Result<RegistryRule> parse_rule(const Section& section, std::string_view what) {
    RegistryRule out;
    TRY(section.read("location", out.location));
    TRY(section.read("prefix", out.prefix));
    if (out.prefix.empty()) out.prefix = out.location;
    TRY(check_location(what, "registry.prefix", out.prefix));
    if (!out.location.empty()) TRY(check_location(what, "registry.location", out.location));
    TRY(section.read("insecure", out.insecure));
    TRY(section.read("blocked", out.blocked));
    TRY(section.read("mirror-by-digest-only", out.mirror_by_digest_only));
    for (const auto& mirror : TRY(section.tables("mirror")))
        out.mirrors.push_back(TRY(parse_mirror(mirror, what)));
    return out;
}

/// Version 1: [registries.search], [registries.insecure], [registries.block].
Result<void> parse_version1(const Section& registries, std::string_view what,
                            RegistriesConf& conf) {
    auto list = [&](std::string_view key) -> Result<std::vector<std::string>> {
        std::vector<std::string> out;
        auto section = TRY(registries.table(key));
        if (section) TRY(section->read("registries", out));
        return out;
    };
    conf.search_registries = TRY(list("search"));
    for (const auto& name : TRY(list("insecure"))) {
        TRY(check_location(what, "registries.insecure", name));
        conf.rules.push_back({name, name, true, false, false, {}});
    }
    for (const auto& name : TRY(list("block"))) {
        TRY(check_location(what, "registries.block", name));
        conf.rules.push_back({name, name, false, true, false, {}});
    }
    return {};
}

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr ? value : "";
}

/// What a later file says about a prefix takes the place of what an earlier one said.
void merge(RegistriesConf& into, RegistriesConf from) {
    if (!from.search_registries.empty()) into.search_registries = std::move(from.search_registries);
    for (auto& rule : from.rules) {
        std::erase_if(into.rules,
                      [&](const RegistryRule& old) { return old.prefix == rule.prefix; });
        into.rules.push_back(std::move(rule));
    }
    for (auto& [alias, name] : from.aliases)
        into.aliases[alias] = std::move(name);
}

Result<void> merge_file(RegistriesConf& conf, const std::string& path) {
    if (!path_exists(path)) return {};
    merge(conf, TRY(parse_registries_conf(TRY(read_file(path, 4U << 20U)), path)));
    return {};
}

Result<void> merge_folder(RegistriesConf& conf, const std::string& path) {
    if (!path_exists(path)) return {};
    for (const auto& name : TRY(list_directory(path)))
        if (name.ends_with(".conf")) TRY(merge_file(conf, join_path(path, name)));
    return {};
}

/// Length of the part of `name` that `prefix` covers, 0 when it does not match.
size_t matched_length(std::string_view prefix, std::string_view name) {
    if (prefix.starts_with("*.")) {
        std::string_view host = name.substr(0, name.find('/'));
        std::string_view bare = host.substr(0, host.find(':'));
        std::string_view suffix = prefix.substr(1);
        // "*.a.b" is less special than any full prefix, yet more so the longer it is.
        return bare.size() > suffix.size() && bare.ends_with(suffix) ? 1 : 0;
    }
    if (!name.starts_with(prefix)) return 0;
    bool ends_there = name.size() == prefix.size() || name[prefix.size()] == '/' ||
                      name[prefix.size()] == ':' || name[prefix.size()] == '@';
    return ends_there ? prefix.size() + 1 : 0;
}

SourceChoice split_location(const std::string& location, const std::string& rest) {
    std::string whole = location + rest;
    size_t slash = whole.find('/');
    return {whole.substr(0, slash), slash == std::string::npos ? "" : whole.substr(slash + 1),
            false, false};
}

}  // namespace

Result<RegistriesConf> parse_registries_conf(std::string_view text, std::string_view what) {
    TomlTable document = TRY(parse_toml(text, what));
    Section root{document, what};
    RegistriesConf conf;
    if (auto old = TRY(root.table("registries"))) {
        if (root.has("registry") || root.has("unqualified-search-registries"))
            return fail(Errc::invalid,
                        std::string{what} +
                            ": mixes version 1 ([registries.…]) and "
                            "version 2 of the format",
                        "keep only the [[registry]] form");
        TRY(parse_version1(*old, what, conf));
        return conf;
    }
    TRY(root.read("unqualified-search-registries", conf.search_registries));
    for (const auto& name : conf.search_registries)
        TRY(check_location(what, "unqualified-search-registries", name));
    for (const auto& section : TRY(root.tables("registry")))
        conf.rules.push_back(TRY(parse_rule(section, what)));
    if (auto aliases = TRY(root.table("aliases")))
        for (const auto& [alias, value] : aliases->members()) {
            if (value.string() == nullptr) return aliases->refuse(value, alias, "a string");
            if (!value.string()->empty()) conf.aliases[alias] = *value.string();
        }
    return conf;
}

Result<RegistriesConf> load_registries_conf(const std::string& explicit_path) {
    RegistriesConf conf;
    std::string only =
        explicit_path.empty() ? environment("CONTAINERS_REGISTRIES_CONF") : explicit_path;
    if (!only.empty()) {
        merge(conf, TRY(parse_registries_conf(TRY(read_file(only, 4U << 20U)), only)));
        return conf;
    }
    std::string config = environment("XDG_CONFIG_HOME");
    if (config.empty()) config = join_path(environment("HOME"), ".config");
    std::string own = join_path(config, "containers/registries.conf");
    bool has_own = ::geteuid() != 0 && path_exists(own);
    TRY(merge_file(conf, has_own ? own : "/etc/containers/registries.conf"));
    TRY(merge_folder(conf, "/etc/containers/registries.conf.d"));
    if (::geteuid() != 0) TRY(merge_folder(conf, own + ".d"));
    return conf;
}

const RegistryRule* RegistriesConf::find_rule(std::string_view name) const {
    const RegistryRule* best = nullptr;
    size_t best_length = 0;
    for (const auto& rule : rules) {
        size_t length = matched_length(rule.prefix, name);
        bool longer_wildcard = length == 1 && best_length == 1 && best != nullptr &&
                               rule.prefix.size() > best->prefix.size();
        if (length > best_length || longer_wildcard) {
            best = &rule;
            best_length = length;
        }
    }
    return best;
}

bool RegistriesConf::is_insecure(std::string_view name) const {
    const RegistryRule* rule = find_rule(name);
    return rule != nullptr && rule->insecure;
}

Result<std::vector<SourceChoice>> choose_sources(const RegistriesConf& conf,
                                                 const std::string& host,
                                                 const std::string& repository, bool by_digest) {
    std::string name = host + "/" + repository;
    const RegistryRule* rule = conf.find_rule(name);
    if (rule == nullptr) return std::vector{SourceChoice{host, repository, false, false}};
    if (rule->blocked)
        return fail(Errc::denied,
                    name + " is blocked in registries.conf (prefix " + rule->prefix + ")",
                    "use another registry, or remove `blocked = true` there");
    bool wildcard = rule->prefix.starts_with("*.");
    std::string rest = wildcard ? "/" + repository : name.substr(rule->prefix.size());
    std::vector<SourceChoice> out;
    for (const auto& mirror : rule->mirrors) {
        bool digest_only = rule->mirror_by_digest_only || mirror.use == Location::Use::digest_only;
        if (digest_only && !by_digest) continue;
        if (mirror.use == Location::Use::tag_only && by_digest) continue;
        SourceChoice choice = split_location(mirror.location, rest);
        choice.insecure = mirror.insecure;
        choice.is_mirror = true;
        out.push_back(std::move(choice));
    }
    SourceChoice own = rule->location.empty() || wildcard
                           ? SourceChoice{host, repository, false, false}
                           : split_location(rule->location, rest);
    own.insecure = rule->insecure;
    out.push_back(std::move(own));
    return out;
}

}  // namespace hull::registry
