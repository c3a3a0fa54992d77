#include <algorithm>

#include <fmt/format.h>

#include "base/json_io.hpp"
#include "base/text.hpp"
#include "spec/seccomp_profile.hpp"

namespace hull::spec {
namespace {

/// An error with the closest known name as the hint.
tl::unexpected<Error> refuse_name(const JsonReader& field, std::string_view what,
                                  const std::string& name, const std::vector<std::string>& known) {
    auto near = closest_match(name, known);
    return field.refuse(fmt::format("{} is no seccomp {}", quote(name), what),
                        near ? fmt::format("did you mean {}?", *near)
                             : fmt::format("one of {}", join(known, ", ")));
}

Result<std::string> read_name(const JsonReader& parent, std::string_view key, std::string_view what,
                              const std::vector<std::string>& known) {
    auto field = TRY(parent.require(key));
    auto name = TRY(field.as_string());
    if (std::find(known.begin(), known.end(), name) == known.end())
        return refuse_name(field, what, name, known);
    return name;
}

Result<std::vector<std::string>> read_names(const JsonReader& parent, std::string_view key,
                                            std::string_view what,
                                            const std::vector<std::string>& known) {
    std::vector<std::string> names;
    auto list = parent.find(key);
    if (!list) return names;
    for (const auto& element : TRY(list->elements())) {
        auto name = TRY(element.as_string());
        if (std::find(known.begin(), known.end(), name) == known.end())
            return refuse_name(element, what, name, known);
        names.push_back(std::move(name));
    }
    return names;
}

bool takes_errno(std::string_view action) {
    return action == "SCMP_ACT_ERRNO" || action == "SCMP_ACT_TRACE";
}

/// The kernel keeps 16 bits, and answers at most 4095 as an errno.
Result<std::optional<uint32_t>> read_errno(const JsonReader& parent, std::string_view key,
                                           std::string_view action) {
    auto field = parent.find(key);
    if (!field) return std::optional<uint32_t>();
    auto value = TRY(field->as_uint32());
    if (!takes_errno(action))
        return field->refuse(fmt::format("{} has no errno", action),
                             "only SCMP_ACT_ERRNO and SCMP_ACT_TRACE take one");
    const uint32_t limit = action == "SCMP_ACT_ERRNO" ? 4095 : 65535;
    if (value > limit)
        return field->refuse(fmt::format("{} is over {}", value, limit),
                             "see errno(3) for the numbers");
    return std::optional<uint32_t>(value);
}

Result<SeccompProfileArgument> parse_argument(const JsonReader& reader) {
    TRY(reader.expect_object());
    SeccompProfileArgument argument;
    auto index = TRY(reader.require("index"));
    argument.index = TRY(index.as_uint32());
    if (argument.index > 5)
        return index.refuse(fmt::format("{} is over 5", argument.index),
                            "a system call has the arguments 0 to 5");
    argument.value = TRY(TRY(reader.require("value")).as_uint64());
    TRY(reader.read("valueTwo", argument.value_two));
    argument.op = TRY(read_name(reader, "op", "operator", seccomp_profile_operators()));
    return argument;
}

Result<SeccompProfileRule> parse_rule(const JsonReader& reader) {
    TRY(reader.expect_object());
    SeccompProfileRule rule;
    for (const char* key : {"includes", "excludes"})
        if (auto field = reader.find(key); field && !field->json().empty())
            return field->refuse("is of Docker's profile format, not of the runtime specification",
                                 "the engine resolves includes and excludes before the runtime");
    if (auto single = reader.find("name")) rule.names.push_back(TRY(single->as_string()));
    if (auto names = reader.find("names"))
        for (auto& name : TRY(names->as_strings()))
            rule.names.push_back(std::move(name));
    if (rule.names.empty())
        return TRY(reader.require("names")).refuse("is empty", "name at least one system call");
    for (const auto& name : rule.names)
        if (name.empty()) return reader.refuse("names an empty system call");
    rule.action = TRY(read_name(reader, "action", "action", seccomp_profile_actions()));
    if (rule.action == "SCMP_ACT_NOTIFY" &&
        std::find(rule.names.begin(), rule.names.end(), "write") != rule.names.end())
        return reader.refuse("SCMP_ACT_NOTIFY cannot be used for write",
                             "the runtime itself writes before a listener can answer");
    rule.errno_ret = TRY(read_errno(reader, "errnoRet", rule.action));
    if (auto args = reader.find("args"))
        for (const auto& element : TRY(args->elements()))
            rule.args.push_back(TRY(parse_argument(element)));
    return rule;
}

Result<void> parse_listener(const JsonReader& section, SeccompProfile& profile) {
    TRY(section.read("listenerPath", profile.listener_path));
    TRY(section.read("listenerMetadata", profile.listener_metadata));
    if (profile.listener_path.empty()) {
        if (!profile.listener_metadata.empty())
            return section.find("listenerMetadata")
                ->refuse("is given without a listenerPath", "set linux.seccomp.listenerPath");
    } else if (profile.listener_path[0] != '/') {
        return section.find("listenerPath")
            ->refuse(quote(profile.listener_path) + " is not absolute",
                     "give the full path of a unix socket");
    }
    return {};
}

}  // namespace

const std::vector<std::string>& seccomp_profile_actions() {
    static const std::vector<std::string> names = {
        "SCMP_ACT_KILL",  "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
        "SCMP_ACT_TRAP",  "SCMP_ACT_ERRNO",        "SCMP_ACT_TRACE",
        "SCMP_ACT_ALLOW", "SCMP_ACT_LOG",          "SCMP_ACT_NOTIFY"};
    return names;
}

const std::vector<std::string>& seccomp_profile_operators() {
    static const std::vector<std::string> names = {
        "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",       "SCMP_CMP_EQ",
        "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"};
    return names;
}

const std::vector<std::string>& seccomp_profile_architectures() {
    static const std::vector<std::string> names = {
        "SCMP_ARCH_X86",     "SCMP_ARCH_X86_64",   "SCMP_ARCH_X32",         "SCMP_ARCH_ARM",
        "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS",     "SCMP_ARCH_MIPS64",      "SCMP_ARCH_MIPS64N32",
        "SCMP_ARCH_MIPSEL",  "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC",
        "SCMP_ARCH_PPC64",   "SCMP_ARCH_PPC64LE",  "SCMP_ARCH_S390",        "SCMP_ARCH_S390X",
        "SCMP_ARCH_PARISC",  "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",     "SCMP_ARCH_LOONGARCH64",
        "SCMP_ARCH_M68K",    "SCMP_ARCH_SH",       "SCMP_ARCH_SHEB"};
    return names;
}

const std::vector<std::string>& seccomp_profile_flags() {
    static const std::vector<std::string> names = {
        "SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
    return names;
}

namespace {

/// Reads on after each error, so that all are told at once.
class ProfileReader {
  public:
    explicit ProfileReader(std::vector<Error>& errors) : errors_(errors) {}

    SeccompProfile read(const JsonReader& section) {
        SeccompProfile profile;
        if (auto map = section.find("archMap"); map && !map->json().empty())
            note(map->refuse("is of Docker's profile format, not of the runtime specification",
                             "list the architectures in \"architectures\""));
        keep(read_name(section, "defaultAction", "action", seccomp_profile_actions()),
             profile.default_action);
        if (profile.default_action == "SCMP_ACT_NOTIFY")
            note(section.find("defaultAction")
                     ->refuse("SCMP_ACT_NOTIFY cannot be the default action",
                              "the runtime's own calls would wait for a listener that is not "
                              "there yet"));
        if (!profile.default_action.empty())
            keep(read_errno(section, "defaultErrnoRet", profile.default_action),
                 profile.default_errno_ret);
        keep(read_names(section, "architectures", "architecture", seccomp_profile_architectures()),
             profile.architectures);
        keep(read_names(section, "flags", "flag", seccomp_profile_flags()), profile.flags);
        if (auto syscalls = section.find("syscalls")) read_rules(*syscalls, profile);
        if (auto done = parse_listener(section, profile); !done)
            errors_.push_back(std::move(done).error());
        return profile;
    }

  private:
    void note(tl::unexpected<Error> error) { errors_.push_back(std::move(error).value()); }
    template <typename T>
    void keep(Result<T> result, T& target) {
        if (result)
            target = std::move(*result);
        else
            errors_.push_back(std::move(result).error());
    }
    void read_rules(const JsonReader& syscalls, SeccompProfile& profile) {
        std::vector<JsonReader> elements;
        keep(syscalls.elements(), elements);
        profile.syscalls.reserve(elements.size());
        for (const auto& element : elements)
            keep(parse_rule(element), profile.syscalls.emplace_back());
    }

    std::vector<Error>& errors_;
};

}  // namespace

SeccompProfile parse_seccomp_profile(const JsonReader& section, std::vector<Error>& errors) {
    if (auto good = section.expect_object(); !good) {
        errors.push_back(std::move(good).error());
        return {};
    }
    return ProfileReader{errors}.read(section);
}

Result<SeccompProfile> parse_seccomp_profile(const JsonReader& section) {
    std::vector<Error> errors;
    auto profile = parse_seccomp_profile(section, errors);
    if (!errors.empty()) return fail(std::move(errors.front()));
    return profile;
}

Result<SeccompProfile> parse_seccomp_profile_text(std::string_view text, std::string_view what) {
    const Json document = TRY(parse_json(text, what));
    return with_context(parse_seccomp_profile(JsonReader(document, "")), std::string(what));
}

std::string format_seccomp_profile(const SeccompProfile& profile) {
    using Ordered = nlohmann::ordered_json;
    Ordered out = Ordered::object();
    out["defaultAction"] = profile.default_action;
    if (profile.default_errno_ret) out["defaultErrnoRet"] = *profile.default_errno_ret;
    if (!profile.architectures.empty()) out["architectures"] = profile.architectures;
    if (!profile.flags.empty()) out["flags"] = profile.flags;
    if (!profile.listener_path.empty()) out["listenerPath"] = profile.listener_path;
    if (!profile.listener_metadata.empty()) out["listenerMetadata"] = profile.listener_metadata;
    if (!profile.syscalls.empty()) out["syscalls"] = Ordered::array();
    for (const auto& rule : profile.syscalls) {
        Ordered entry = Ordered::object();
        entry["names"] = rule.names;
        entry["action"] = rule.action;
        if (rule.errno_ret) entry["errnoRet"] = *rule.errno_ret;
        for (const auto& argument : rule.args) {
            Ordered item = {{"index", argument.index}, {"value", argument.value}};
            if (argument.value_two != 0) item["valueTwo"] = argument.value_two;
            item["op"] = argument.op;
            entry["args"].push_back(std::move(item));
        }
        out["syscalls"].push_back(std::move(entry));
    }
    return out.dump(-1, ' ', false, Ordered::error_handler_t::replace);
}

}  // namespace hull::spec
