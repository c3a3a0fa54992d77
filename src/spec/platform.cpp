#include "spec/platform.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace hull::spec {
namespace {

struct Alias {
    std::string_view name;
    std::string_view architecture;
    std::string_view variant;
};
/// Names of uname(2) and of other tools. @see containerd platforms/database.go for the same list.
constexpr std::array<Alias, 10> kAliases{{{"x86_64", "amd64", ""},
                                          {"x86-64", "amd64", ""},
                                          {"aarch64", "arm64", ""},
                                          {"armhf", "arm", "v7"},
                                          {"armel", "arm", "v6"},
                                          {"armv7l", "arm", "v7"},
                                          {"armv6l", "arm", "v6"},
                                          {"i386", "386", ""},
                                          {"i686", "386", ""},
                                          {"loongarch64", "loong64", ""}}};

constexpr std::array<std::string_view, 13> kArchitectures{
    "amd64", "arm64",  "arm",      "386",  "riscv64", "ppc64le", "s390x",
    "ppc64", "mips64", "mips64le", "mips", "mipsle",  "loong64"};

constexpr std::array<std::string_view, 7> kSystems{"linux",   "windows", "darwin", "freebsd",
                                                   "solaris", "wasip1",  "unknown"};

/// 7 of "v7"; 0 if it is not of that form.
int variant_number(std::string_view variant) {
    if (variant.size() < 2 || variant[0] != 'v') return 0;
    return parse_number<int>(variant.substr(1)).value_or(0);
}

/// The generation a machine of this architecture has when its variant says nothing.
int default_generation(std::string_view architecture) {
    if (architecture == "arm") return 7;
    if (architecture == "arm64") return 8;
    return 1;
}

bool is_word(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.';
    });
}

}  // namespace

std::string Platform::to_string() const {
    std::string text = os + "/" + architecture;
    if (!variant.empty()) text += "/" + variant;
    return text;
}

Platform normalize(Platform platform) {
    for (const Alias& alias : kAliases) {
        if (platform.architecture != alias.name) continue;
        platform.architecture = std::string{alias.architecture};
        if (platform.variant.empty()) platform.variant = std::string{alias.variant};
        break;
    }
    if (platform.os == "macos") platform.os = "darwin";
    int number = variant_number(platform.variant);
    if (platform.variant.empty()) {
        if (platform.architecture == "arm") platform.variant = "v7";
    } else if (number == 0 && parse_number<int>(platform.variant)) {
        platform.variant.insert(0, "v");  // "7" is "v7"
    }
    if (platform.architecture == "arm64" && platform.variant == "v8") platform.variant.clear();
    if (platform.architecture == "amd64" && platform.variant == "v1") platform.variant.clear();
    return platform;
}

Result<Platform> parse_platform(std::string_view text) {
    auto refuse = [&](std::string_view why) {
        return fail(Errc::invalid,
                    "platform " + quote(text.substr(0, 100)) + ": " + std::string{why},
                    "write OS/ARCHITECTURE[/VARIANT], for example linux/arm64 or linux/arm/v7");
    };
    std::vector<std::string_view> parts = split(text, '/');
    if (parts.size() > 3) return refuse("has more than three parts");
    for (std::string_view part : parts)
        if (!is_word(part)) return refuse("a part is empty or has a character that cannot be");
    auto is_system = [](std::string_view word) {
        return std::find(kSystems.begin(), kSystems.end(), word) != kSystems.end();
    };
    Platform platform;
    if (parts.size() == 1) {
        if (is_system(parts[0])) {
            platform = host_platform();
            platform.os = std::string{parts[0]};
            return platform;
        }
        platform.architecture = std::string{parts[0]};
        platform = normalize(platform);
        if (std::find(kArchitectures.begin(), kArchitectures.end(), platform.architecture) ==
            kArchitectures.end())
            return refuse("is neither a known system nor a known architecture");
        return platform;
    }
    platform.os = std::string{parts[0]};
    platform.architecture = std::string{parts[1]};
    if (parts.size() == 3) platform.variant = std::string{parts[2]};
    return normalize(platform);
}

Platform host_platform() {
    Platform platform;
#if defined(__x86_64__)
    platform.architecture = "amd64";
#elif defined(__aarch64__)
    platform.architecture = "arm64";
#elif defined(__arm__)
    platform.architecture = "arm";
    platform.variant = "v7";
#elif defined(__i386__)
    platform.architecture = "386";
#elif defined(__riscv) && __riscv_xlen == 64
    platform.architecture = "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
    platform.architecture = "ppc64le";
#elif defined(__s390x__)
    platform.architecture = "s390x";
#else
#error "name this architecture as Go does"
#endif
    return platform;
}

int match_platform(const Platform& wanted, const Platform& offered) {
    Platform want = normalize(wanted);
    Platform have = normalize(offered);
    if (want.os != have.os || want.architecture != have.architecture) return 0;
    constexpr int kExact = 100;
    if (want.variant == have.variant) return kExact;
    int fallback = default_generation(want.architecture);
    int want_number = want.variant.empty() ? fallback : variant_number(want.variant);
    int have_number = have.variant.empty() ? fallback : variant_number(have.variant);
    if (want_number == 0 || have_number == 0 || have_number > want_number) return 0;
    return kExact - (want_number - have_number);
}

}  // namespace hull::spec
