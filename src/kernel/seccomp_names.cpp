#include <algorithm>
#include <array>
#include <utility>

#include "kernel/seccomp.hpp"

namespace hull::kernel {
namespace {

constexpr std::array<std::pair<std::string_view, SeccompAction>, 9> kActions = {{
    // The first name of an action is the one that is written.
    {"SCMP_ACT_KILL_THREAD", SeccompAction::kill_thread},
    {"SCMP_ACT_KILL", SeccompAction::kill_thread},
    {"SCMP_ACT_KILL_PROCESS", SeccompAction::kill_process},
    {"SCMP_ACT_TRAP", SeccompAction::trap},
    {"SCMP_ACT_ERRNO", SeccompAction::error},
    {"SCMP_ACT_TRACE", SeccompAction::trace},
    {"SCMP_ACT_LOG", SeccompAction::log},
    {"SCMP_ACT_ALLOW", SeccompAction::allow},
    {"SCMP_ACT_NOTIFY", SeccompAction::notify},
}};

constexpr std::array<std::pair<std::string_view, SeccompOperator>, 7> kOperators = {{
    {"SCMP_CMP_NE", SeccompOperator::not_equal},
    {"SCMP_CMP_LT", SeccompOperator::less},
    {"SCMP_CMP_LE", SeccompOperator::less_or_equal},
    {"SCMP_CMP_EQ", SeccompOperator::equal},
    {"SCMP_CMP_GE", SeccompOperator::greater_or_equal},
    {"SCMP_CMP_GT", SeccompOperator::greater},
    {"SCMP_CMP_MASKED_EQ", SeccompOperator::masked_equal},
}};

/// Those that libseccomp 2.5 compiles for, and after them those that it does not know yet.
constexpr std::array<std::string_view, 23> kArchitectures = {
    "x86",     "x86_64",   "x32",         "arm",         "aarch64",  "mips", "mips64", "mips64n32",
    "mipsel",  "mipsel64", "mipsel64n32", "parisc",      "parisc64", "ppc",  "ppc64",  "ppc64le",
    "riscv64", "s390",     "s390x",       "loongarch64", "m68k",     "sh",   "sheb",
};
constexpr size_t kCompiledArchitectures = 19;
constexpr std::string_view kArchitecturePrefix = "SCMP_ARCH_";

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
char upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

template <typename Table>
auto find_value(const Table& table, std::string_view name)
    -> std::optional<decltype(table[0].second)> {
    for (const auto& [known, value] : table)
        if (known == name) return value;
    return std::nullopt;
}

template <typename Table, typename Value>
std::string_view find_name(const Table& table, Value value) {
    for (const auto& [name, known] : table)
        if (known == value) return name;
    return {};
}

}  // namespace

std::optional<SeccompAction> parse_seccomp_action(std::string_view name) {
    return find_value(kActions, name);
}

std::string_view seccomp_action_name(SeccompAction action) {
    return find_name(kActions, action);
}

std::optional<SeccompOperator> parse_seccomp_operator(std::string_view name) {
    return find_value(kOperators, name);
}

std::string_view seccomp_operator_name(SeccompOperator op) {
    return find_name(kOperators, op);
}

std::optional<std::string> parse_seccomp_architecture(std::string_view name) {
    if (!name.starts_with(kArchitecturePrefix)) return std::nullopt;
    std::string architecture(name.substr(kArchitecturePrefix.size()));
    std::transform(architecture.begin(), architecture.end(), architecture.begin(), lower);
    if (std::find(kArchitectures.begin(), kArchitectures.end(), architecture) ==
        kArchitectures.end())
        return std::nullopt;
    return architecture;
}

std::string seccomp_architecture_name(std::string_view architecture) {
    std::string name(kArchitecturePrefix);
    for (char c : architecture)
        name += upper(c);
    return name;
}

std::vector<std::string> known_seccomp_actions() {
    std::vector<std::string> names;
    for (const auto& [name, action] : kActions)
        names.emplace_back(name);
    return names;
}

std::vector<std::string> known_seccomp_operators() {
    std::vector<std::string> names;
    for (const auto& [name, op] : kOperators)
        names.emplace_back(name);
    return names;
}

std::vector<std::string> known_seccomp_architectures() {
    std::vector<std::string> names;
    for (size_t i = 0; i < kCompiledArchitectures; ++i)
        names.push_back(seccomp_architecture_name(kArchitectures[i]));
    return names;
}

}  // namespace hull::kernel
