#include "runtime/landlock_annotation.hpp"

#include <limits>

#include "base/json_io.hpp"
#include "base/text.hpp"

namespace hull::runtime {
namespace {

constexpr std::string_view kName = "annotations[\"org.hull.landlock\"]";

Result<void> read_scopes(const JsonReader& document, jail::LandlockPlan& plan) {
    const auto scopes = document.find("scopes");
    if (!scopes) return {};
    for (const auto& name : TRY(scopes->as_strings())) {
        if (name == "signal")
            plan.scope_signals = true;
        else if (name == "abstract-socket")
            plan.scope_abstract_sockets = true;
        else
            return scopes->refuse("unknown scope " + quote(name),
                                  "the scopes are signal and abstract-socket");
    }
    return {};
}

Result<void> read_paths(const JsonReader& document, jail::LandlockPlan& plan) {
    const auto paths = document.find("paths");
    if (!paths) return {};
    plan.restrict_files = true;
    for (const auto& entry : TRY(paths->elements())) {
        jail::LandlockPlan::PathRule rule;
        rule.path = TRY(TRY(entry.require("path")).as_string());
        const auto access = TRY(entry.require("access"));
        rule.access = TRY(access.as_strings());
        if (!rule.path.starts_with('/')) return entry.refuse("path must be absolute");
        for (const auto& name : rule.access)
            if (name != "read" && name != "write" && name != "execute")
                return access.refuse("unknown access " + quote(name),
                                     "the accesses are read, write and execute");
        plan.paths.push_back(std::move(rule));
    }
    return {};
}

Result<std::vector<uint16_t>> read_ports(const JsonReader& list) {
    std::vector<uint16_t> ports;
    for (const auto& entry : TRY(list.elements())) {
        const uint32_t port = TRY(entry.as_uint32());
        if (port > std::numeric_limits<uint16_t>::max()) return entry.refuse("is no port number");
        ports.push_back(static_cast<uint16_t>(port));
    }
    return ports;
}

}  // namespace

Result<jail::LandlockPlan> parse_landlock_annotation(std::string_view text) {
    const Json json = TRY(parse_json(text, kName));
    const JsonReader document(json, std::string(kName));
    TRY(document.expect_object());
    jail::LandlockPlan plan;
    TRY(read_scopes(document, plan));
    TRY(read_paths(document, plan));
    if (const auto list = document.find("bind")) {
        plan.restrict_tcp = true;
        plan.bind_ports = TRY(read_ports(*list));
    }
    if (const auto list = document.find("connect")) {
        plan.restrict_tcp = true;
        plan.connect_ports = TRY(read_ports(*list));
    }
    return plan;
}

}  // namespace hull::runtime
