#include "base/text.hpp"
#include "spec/runtime_json.hpp"
#include "spec/runtime_reader.hpp"
#include "spec/runtime_sections.hpp"

// Properties that nobody reads. A runtime must ignore them (config.md, Extensibility), but most are
// a misspelt name.

namespace hull::spec {
namespace {

/// "mounts[3].options" -> "mounts.options": elements of a list have the same members.
std::string without_indices(std::string_view path) {
    std::string out;
    bool inside = false;
    for (char c : path) {
        if (c == '[') inside = true;
        if (!inside) out += c;
        if (c == ']') inside = false;
    }
    return out;
}

/// What the reader leaves to others: the parser of profiles, other platforms.
void add_others(RuntimeReader::KnownMembers& known) {
    for (const char* name : {"windows", "solaris", "vm", "zos", "freebsd"})
        known[""].insert(name);
    known["process"].insert("commandLine");
    known["process.user"].insert("username");
    known["linux.seccomp"] = {"defaultAction", "defaultErrnoRet",  "architectures", "flags",
                              "listenerPath",  "listenerMetadata", "syscalls",      "archMap"};
    known["linux.seccomp.syscalls"] = {"names",    "name",     "action", "errnoRet",
                                       "includes", "excludes", "args",   "comment"};
    known["linux.seccomp.syscalls.args"] = {"index", "value", "valueTwo", "op"};
}

class UnknownProperties {
  public:
    explicit UnknownProperties(const RuntimeReader::KnownMembers& known) : known_(known) {}
    std::vector<Violation> found;

    void walk(const JsonReader& in) {
        if (in.json().is_array()) {
            for (size_t i = 0; i < in.json().size(); ++i)
                walk(JsonReader{in.json()[i], in.path() + "[" + std::to_string(i) + "]"});
            return;
        }
        auto members = known_.find(without_indices(in.path()));
        if (!in.json().is_object() || members == known_.end()) return;
        for (const auto& [name, value] : in.json().items()) {
            std::string path = in.path().empty() ? name : in.path() + "." + name;
            if (members->second.contains(name))
                walk(JsonReader{value, path});
            else
                report(path, name, members->second);
        }
    }

  private:
    void report(const std::string& path, const std::string& name,
                const std::set<std::string, std::less<>>& members) {
        auto near = closest_match(name, {members.begin(), members.end()});
        found.push_back({.path = path,
                         .value = "",
                         .rule = "is no property of the specification, and is ignored",
                         .section = std::string{section_of(path)},
                         .remedy = near ? "did you mean " + *near + "?" : "leave it out"});
    }

    const RuntimeReader::KnownMembers& known_;
};

}  // namespace

void RuntimeReader::know(const JsonReader& in, std::string_view key) {
    if (known != nullptr) (*known)[without_indices(in.path())].emplace(key);
}

std::vector<Violation> find_unknown_properties(std::string_view text) {
    auto document = parse_json(text, "");
    if (!document) return {};
    RuntimeReader::KnownMembers known;
    RuntimeReader reader;
    reader.known = &known;
    RuntimeConfig config;
    reader.config(JsonReader{*document, ""}, config);
    add_others(known);
    UnknownProperties unknown{known};
    unknown.walk(JsonReader{*document, ""});
    return std::move(unknown.found);
}

}  // namespace hull::spec
