#include "kernel/capabilities.hpp"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cctype>
#include <cerrno>

#include "base/text.hpp"

namespace hull::kernel {

namespace {

// By number, capability.h.
constexpr std::array<std::string_view, kCapabilityCount> kNames = {"CHOWN",
                                                                   "DAC_OVERRIDE",
                                                                   "DAC_READ_SEARCH",
                                                                   "FOWNER",
                                                                   "FSETID",
                                                                   "KILL",
                                                                   "SETGID",
                                                                   "SETUID",
                                                                   "SETPCAP",
                                                                   "LINUX_IMMUTABLE",
                                                                   "NET_BIND_SERVICE",
                                                                   "NET_BROADCAST",
                                                                   "NET_ADMIN",
                                                                   "NET_RAW",
                                                                   "IPC_LOCK",
                                                                   "IPC_OWNER",
                                                                   "SYS_MODULE",
                                                                   "SYS_RAWIO",
                                                                   "SYS_CHROOT",
                                                                   "SYS_PTRACE",
                                                                   "SYS_PACCT",
                                                                   "SYS_ADMIN",
                                                                   "SYS_BOOT",
                                                                   "SYS_NICE",
                                                                   "SYS_RESOURCE",
                                                                   "SYS_TIME",
                                                                   "SYS_TTY_CONFIG",
                                                                   "MKNOD",
                                                                   "LEASE",
                                                                   "AUDIT_WRITE",
                                                                   "AUDIT_CONTROL",
                                                                   "SETFCAP",
                                                                   "MAC_OVERRIDE",
                                                                   "MAC_ADMIN",
                                                                   "SYSLOG",
                                                                   "WAKE_ALARM",
                                                                   "BLOCK_SUSPEND",
                                                                   "AUDIT_READ",
                                                                   "PERFMON",
                                                                   "BPF",
                                                                   "CHECKPOINT_RESTORE"};

constexpr int kMaxCapability = 63;

std::string to_upper(std::string_view text) {
    std::string out;
    for (char c : text)
        out += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return out;
}

bool is_known_to_kernel(int capability) {
    return ::prctl(PR_CAPBSET_READ, static_cast<unsigned long>(capability), 0UL, 0UL, 0UL) >= 0;
}

bool is_bounding(int capability) {
    return ::prctl(PR_CAPBSET_READ, static_cast<unsigned long>(capability), 0UL, 0UL, 0UL) == 1;
}

/// The kernel's form: two words of 32 bits for each set.
struct CapData {
    std::array<__user_cap_data_struct, 2> words{};
    static uint64_t join(uint32_t low, uint32_t high) { return uint64_t{high} << 32U | low; }
};

Result<CapData> get_data() {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    CapData data;
    if (::syscall(SYS_capget, &header, data.words.data()) < 0)
        return fail_errno(errno, "read the capabilities");
    return data;
}

CapabilitySets from_data(const CapData& data) {
    CapabilitySets sets;
    sets.effective.bits = CapData::join(data.words[0].effective, data.words[1].effective);
    sets.permitted.bits = CapData::join(data.words[0].permitted, data.words[1].permitted);
    sets.inheritable.bits = CapData::join(data.words[0].inheritable, data.words[1].inheritable);
    return sets;
}

}  // namespace

std::optional<int> parse_capability(std::string_view name) {
    std::string upper = to_upper(name);
    std::string_view word = upper;
    if (word.starts_with("CAP_")) word.remove_prefix(4);
    for (size_t i = 0; i < kNames.size(); ++i)
        if (kNames[i] == word) return static_cast<int>(i);
    return std::nullopt;
}

std::string capability_name(int capability) {
    if (capability >= 0 && capability < kCapabilityCount)
        return "CAP_" + std::string(kNames[static_cast<size_t>(capability)]);
    return "CAP_" + std::to_string(capability);
}

std::vector<std::string> capability_names() {
    std::vector<std::string> names;
    for (int i = 0; i < kCapabilityCount; ++i)
        names.push_back(capability_name(i));
    return names;
}

std::vector<std::string> capability_names(CapabilitySet set) {
    std::vector<std::string> names;
    for (int i = 0; i <= kMaxCapability; ++i)
        if (set.has(i)) names.push_back(capability_name(i));
    return names;
}

int last_capability() {
    static const int last = [] {
        int guess = kCapabilityCount - 1;
        while (guess > 0 && !is_known_to_kernel(guess))
            --guess;
        while (guess < kMaxCapability && is_known_to_kernel(guess + 1))
            ++guess;
        return guess;
    }();
    return last;
}

CapabilitySet all_capabilities() {
    CapabilitySet set;
    for (int i = 0; i <= last_capability(); ++i)
        set.add(i);
    return set;
}

Result<CapabilitySets> read_capabilities() {
    CapabilitySets sets = from_data(TRY(get_data()));
    for (int i = 0; i <= last_capability(); ++i) {
        auto number = static_cast<unsigned long>(i);
        if (is_bounding(i)) sets.bounding.add(i);
        if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, number, 0UL, 0UL) == 1)
            sets.ambient.add(i);
    }
    return sets;
}

Result<CapabilitySet> read_effective_capabilities() {
    return from_data(TRY(get_data())).effective;
}

Result<void> limit_bounding_set(CapabilitySet keep) {
    for (int i = 0; i <= kMaxCapability; ++i) {
        if (keep.has(i)) continue;
        auto number = static_cast<unsigned long>(i);
        if (::prctl(PR_CAPBSET_DROP, number, 0UL, 0UL, 0UL) == 0) continue;
        int cause = errno;
        if (cause == EINVAL) return {};  // the kernel knows neither this one nor any further
        // Without CAP_SETPCAP: no matter if it is not there anyway.
        if (cause == EPERM && !is_bounding(i)) continue;
        return fail_errno(cause, "drop " + capability_name(i) + " from the bounding set",
                          cause == EPERM ? "this needs CAP_SETPCAP" : "");
    }
    return {};
}

Result<void> set_keep_capabilities(bool on) {
    if (::prctl(PR_SET_KEEPCAPS, on ? 1UL : 0UL, 0UL, 0UL, 0UL) < 0)
        return fail_errno(errno, "keep capabilities over a change of ids");
    return {};
}

namespace {

std::string join_names(CapabilitySet set) {
    return join(capability_names(set), ", ");
}

/// Leaves out of `wanted` what the kernel would refuse, or says what that is.
Result<void> fit_to_present(CapabilitySets& wanted, const CapabilitySets& present, bool clamp) {
    CapabilitySet missing{wanted.permitted.bits & ~present.permitted.bits};
    if (!clamp && !missing.empty())
        return fail(
            Errc::denied,
            "set capabilities: " + join_names(missing) + " cannot be gained by this process",
            "leave them out, or start with them permitted");
    wanted.permitted.bits &= present.permitted.bits;
    CapabilitySet unpermitted{wanted.effective.bits & ~wanted.permitted.bits};
    if (!clamp && !unpermitted.empty())
        return fail(Errc::invalid, "set capabilities: " + join_names(unpermitted) +
                                       " is effective but not permitted");
    wanted.effective.bits &= wanted.permitted.bits;
    // capabilities(7): a new inheritable one must be permitted, unless CAP_SETPCAP, and in the
    // bounding set always.
    bool may_set = present.effective.has(CAP_SETPCAP);
    uint64_t allowed = present.inheritable.bits;
    for (int i = 0; i <= last_capability(); ++i)
        if (wanted.inheritable.has(i) && (may_set || present.permitted.has(i)) && is_bounding(i))
            allowed |= uint64_t{1} << static_cast<unsigned int>(i);
    CapabilitySet uninheritable{wanted.inheritable.bits & ~allowed};
    if (!clamp && !uninheritable.empty())
        return fail(Errc::denied, "set capabilities: " + join_names(uninheritable) +
                                      " cannot be made inheritable by this process");
    wanted.inheritable.bits &= allowed;
    uint64_t may_be_ambient = wanted.permitted.bits & wanted.inheritable.bits;
    CapabilitySet unfit{wanted.ambient.bits & ~may_be_ambient};
    if (!clamp && !unfit.empty())
        return fail(Errc::invalid, "set capabilities: ambient " + join_names(unfit) +
                                       " must be permitted and inheritable as well");
    wanted.ambient.bits &= may_be_ambient;
    return {};
}

/// False with errno: the kernel refused.
bool set_data(const CapabilitySets& sets) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    CapData data;
    for (unsigned int word = 0; word < 2; ++word) {
        auto part = [word](CapabilitySet set) {
            return static_cast<uint32_t>(set.bits >> (32U * word));
        };
        data.words[word] = {part(sets.effective), part(sets.permitted), part(sets.inheritable)};
    }
    return ::syscall(SYS_capset, &header, data.words.data()) == 0;
}

Result<void> set_ambient(CapabilitySet ambient) {
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) < 0)
        return fail_errno(errno, "clear the ambient capabilities");
    if (ambient.empty()) return {};
    for (int i = 0; i <= last_capability(); ++i) {
        if (!ambient.has(i)) continue;
        if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, static_cast<unsigned long>(i), 0UL, 0UL) <
            0)
            return fail_errno(errno, "make " + capability_name(i) + " ambient");
    }
    return {};
}

}  // namespace

Result<void> apply_capabilities(const CapabilitySets& sets, ApplyOptions options) {
    // The usual case: all of it may be had, and needs no look at what is there.
    if (sets.ambient.empty() && sets.inheritable.empty() && set_data(sets)) return set_ambient({});
    CapabilitySets wanted = sets;
    CapabilitySets present = from_data(TRY(get_data()));
    TRY(fit_to_present(wanted, present, options.clamp));
    if (!set_data(wanted)) return fail_errno(errno, "set the capabilities");
    return set_ambient(wanted.ambient);
}

}  // namespace hull::kernel
