#include "kernel/cgroup_devices.hpp"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include <fmt/format.h>

#include "base/fd.hpp"
#include "base/text.hpp"

namespace hull::kernel {
namespace {

constexpr uint32_t kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

struct ParsedRule {
    bool allow = false;
    char type = 'a';
    int64_t major = -1;
    int64_t minor = -1;
    uint32_t access = kAllAccess;

    bool is_everything() const {
        return type == 'a' && major < 0 && minor < 0 && access == kAllAccess;
    }
    bool covers(const ParsedRule& other) const {
        return type == other.type && (major < 0 || major == other.major) &&
               (minor < 0 || minor == other.minor);
    }
    bool overlaps(const ParsedRule& other) const {
        return type == other.type && (major < 0 || other.major < 0 || major == other.major) &&
               (minor < 0 || other.minor < 0 || minor == other.minor);
    }
};

std::string access_text(uint32_t access) {
    std::string text;
    if ((access & BPF_DEVCG_ACC_READ) != 0) text += 'r';
    if ((access & BPF_DEVCG_ACC_WRITE) != 0) text += 'w';
    if ((access & BPF_DEVCG_ACC_MKNOD) != 0) text += 'm';
    return text;
}

/// "c 1:*  rwm", as v1 takes it.
std::string rule_text(const ParsedRule& rule) {
    auto number = [](int64_t value) { return value < 0 ? "*" : fmt::format("{}", value); };
    return fmt::format("{} {}:{} {}", rule.type, number(rule.major), number(rule.minor),
                       access_text(rule.access));
}

Result<ParsedRule> parse_rule(const DeviceRule& rule, size_t index) {
    auto refuse = [&](std::string why) {
        return fail(Errc::invalid, fmt::format("device rule {}: {}", index, why));
    };
    ParsedRule parsed{.allow = rule.allow,
                      .type = rule.type,
                      .major = rule.major,
                      .minor = rule.minor,
                      .access = 0};
    if (rule.type != 'a' && rule.type != 'b' && rule.type != 'c')
        return refuse(fmt::format("type {} is not a, b or c", quote({&rule.type, 1})));
    if (rule.major > std::numeric_limits<int32_t>::max() ||
        rule.minor > std::numeric_limits<int32_t>::max())
        return refuse("a device number is over 2147483647");
    for (char letter : rule.access) {
        if (letter == 'r')
            parsed.access |= BPF_DEVCG_ACC_READ;
        else if (letter == 'w')
            parsed.access |= BPF_DEVCG_ACC_WRITE;
        else if (letter == 'm')
            parsed.access |= BPF_DEVCG_ACC_MKNOD;
        else
            return refuse(fmt::format("access {} holds more than r, w and m", quote(rule.access)));
    }
    if (rule.access.empty()) parsed.access = kAllAccess;
    return parsed;
}

/// What v1 knows: a default, and exceptions of the other kind.
struct V1Policy {
    bool default_allow = false;
    std::vector<ParsedRule> exceptions;
};

Result<void> add_to_policy(V1Policy& policy, const ParsedRule& rule) {
    if (rule.is_everything()) {
        policy = {.default_allow = rule.allow, .exceptions = {}};
        return {};
    }
    if (rule.type == 'a') {
        for (char type : {'b', 'c'}) {
            ParsedRule half = rule;
            half.type = type;
            TRY(add_to_policy(policy, half));
        }
        return {};
    }
    if (rule.allow != policy.default_allow) {
        for (auto& known : policy.exceptions) {
            if (known.type != rule.type || known.major != rule.major || known.minor != rule.minor)
                continue;
            known.access |= rule.access;
            return {};
        }
        policy.exceptions.push_back(rule);
        return {};
    }
    for (auto& known : policy.exceptions) {
        if (rule.covers(known)) {
            known.access &= ~rule.access;
        } else if (rule.overlaps(known) && (rule.access & known.access) != 0) {
            return fail(Errc::unsupported,
                        fmt::format("device rule \"{} {}\" takes a part out of \"{} {}\", which "
                                    "cgroup v1 cannot express",
                                    rule.allow ? "allow" : "deny", rule_text(rule),
                                    known.allow ? "allow" : "deny", rule_text(known)),
                        "name the devices one by one in the wider rule, or use cgroup v2");
        }
    }
    std::erase_if(policy.exceptions, [](const ParsedRule& known) { return known.access == 0; });
    return {};
}

bpf_insn instruction(int code, int dst, int src, int off, int32_t imm) {
    bpf_insn result{};
    result.code = static_cast<uint8_t>(code);
    result.dst_reg = static_cast<uint8_t>(dst) & 0xfU;
    result.src_reg = static_cast<uint8_t>(src) & 0xfU;
    result.off = static_cast<int16_t>(off);
    result.imm = imm;
    return result;
}

constexpr int kMoveImmediate = BPF_ALU64 | BPF_MOV | BPF_K;
constexpr int kMoveRegister = BPF_ALU64 | BPF_MOV | BPF_X;
constexpr int kAnd = BPF_ALU64 | BPF_AND | BPF_K;
constexpr int kShiftRight = BPF_ALU64 | BPF_RSH | BPF_K;
constexpr int kLoadWord = BPF_LDX | BPF_MEM | BPF_W;
constexpr int kJumpNotEqual = BPF_JMP | BPF_JNE | BPF_K;
constexpr int kJumpEqual = BPF_JMP | BPF_JEQ | BPF_K;
constexpr int kExit = BPF_JMP | BPF_EXIT;

/// Registers of the program: r1 the context, r2 type, r3 what is still undecided, r4 major, r5
/// minor, r6 scratch.
constexpr int kType = BPF_REG_2;
constexpr int kUndecided = BPF_REG_3;
constexpr int kMajor = BPF_REG_4;
constexpr int kMinor = BPF_REG_5;
constexpr int kScratch = BPF_REG_6;

std::vector<bpf_insn> rule_body(const ParsedRule& rule) {
    std::vector<bpf_insn> body;
    if (rule.access == kAllAccess) {
        body.push_back(instruction(kMoveImmediate, BPF_REG_0, 0, 0, rule.allow ? 1 : 0));
        body.push_back(instruction(kExit, 0, 0, 0, 0));
    } else if (rule.allow) {
        body.push_back(
            instruction(kAnd, kUndecided, 0, 0, static_cast<int32_t>(kAllAccess & ~rule.access)));
        body.push_back(instruction(kJumpNotEqual, kUndecided, 0, 2, 0));
        body.push_back(instruction(kMoveImmediate, BPF_REG_0, 0, 0, 1));
        body.push_back(instruction(kExit, 0, 0, 0, 0));
    } else {
        body.push_back(instruction(kMoveRegister, kScratch, kUndecided, 0, 0));
        body.push_back(instruction(kAnd, kScratch, 0, 0, static_cast<int32_t>(rule.access)));
        body.push_back(instruction(kJumpEqual, kScratch, 0, 2, 0));
        body.push_back(instruction(kMoveImmediate, BPF_REG_0, 0, 0, 0));
        body.push_back(instruction(kExit, 0, 0, 0, 0));
    }
    return body;
}

void append_rule(std::vector<bpf_insn>& program, const ParsedRule& rule) {
    const auto body = rule_body(rule);
    std::vector<std::pair<int, int64_t>> conditions;
    if (rule.type != 'a')
        conditions.emplace_back(kType, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (rule.major >= 0) conditions.emplace_back(kMajor, rule.major);
    if (rule.minor >= 0) conditions.emplace_back(kMinor, rule.minor);
    for (size_t i = 0; i < conditions.size(); ++i) {
        const size_t to_next = conditions.size() - 1 - i + body.size();
        program.push_back(instruction(kJumpNotEqual, conditions[i].first, 0,
                                      static_cast<int>(to_next),
                                      static_cast<int32_t>(conditions[i].second)));
    }
    program.insert(program.end(), body.begin(), body.end());
}

int bpf(int command, bpf_attr& attr) {
    return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof attr));
}

Result<Fd> load_device_program(const std::vector<bpf_insn>& program) {
    static constexpr std::array<char, 11> kLicense = {"Apache-2.0"};
    bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = reinterpret_cast<uint64_t>(program.data());
    attr.insn_cnt = static_cast<uint32_t>(program.size());
    attr.license = reinterpret_cast<uint64_t>(kLicense.data());
    std::memcpy(attr.prog_name, "hull_devices", 12);
    Fd fd(bpf(BPF_PROG_LOAD, attr));
    if (fd) return fd;
    const int code = errno;
    return fail_errno(code, "load the device policy as a BPF program",
                      code == EPERM ? "a device policy on cgroup v2 needs CAP_BPF or CAP_SYS_ADMIN "
                                      "on the host"
                                    : "");
}

Result<std::vector<uint32_t>> attached_programs(int directory) {
    std::vector<uint32_t> ids(64);
    bpf_attr attr;
    while (true) {
        std::memset(&attr, 0, sizeof attr);
        attr.query.target_fd = static_cast<uint32_t>(directory);
        attr.query.attach_type = BPF_CGROUP_DEVICE;
        attr.query.prog_ids = reinterpret_cast<uint64_t>(ids.data());
        attr.query.prog_cnt = static_cast<uint32_t>(ids.size());
        if (bpf(BPF_PROG_QUERY, attr) == 0) break;
        if (errno != ENOSPC || ids.size() > 4096)
            return fail_errno(errno, "query the device policy of the cgroup");
        ids.resize(ids.size() * 2);
    }
    ids.resize(attr.query.prog_cnt);
    return ids;
}

Result<Fd> open_program(uint32_t id) {
    bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.prog_id = id;
    Fd fd(bpf(BPF_PROG_GET_FD_BY_ID, attr));
    if (!fd) return fail_errno(errno, "open the attached device policy");
    return fd;
}

}  // namespace

Result<std::vector<DeviceWrite>> plan_v1_devices(const std::vector<DeviceRule>& rules) {
    V1Policy policy;
    for (size_t i = 0; i < rules.size(); ++i)
        TRY(add_to_policy(policy, TRY(parse_rule(rules[i], i))));
    std::vector<DeviceWrite> writes;
    // "a" also forgets all exceptions.
    writes.emplace_back(policy.default_allow ? "devices.allow" : "devices.deny", "a");
    for (const auto& rule : policy.exceptions)
        writes.emplace_back(policy.default_allow ? "devices.deny" : "devices.allow",
                            rule_text(rule));
    return writes;
}

Result<void> apply_v1_devices(int directory, const std::vector<DeviceRule>& rules) {
    auto writes = TRY(plan_v1_devices(rules));
    std::string open_name;
    Fd file;
    for (const auto& [name, text] : writes) {
        if (name != open_name) {
            file = TRY(open_at(directory, name, O_WRONLY));
            open_name = name;
        }
        if (::write(file.get(), text.data(), text.size()) < 0) {
            const int code = errno;
            return fail_errno(code, fmt::format("write {} to cgroup file {}", quote(text), name),
                              code == EPERM ? "the cgroup above does not allow this device" : "");
        }
    }
    return {};
}

Result<std::vector<bpf_insn>> compile_device_program(const std::vector<DeviceRule>& rules) {
    // struct bpf_cgroup_dev_ctx { access_type = access << 16 | type; major; minor }
    std::vector<bpf_insn> program = {
        instruction(kLoadWord, kUndecided, BPF_REG_1, 0, 0),
        instruction(kMoveRegister, kType, kUndecided, 0, 0),
        instruction(kAnd, kType, 0, 0, 0xffff),
        instruction(kShiftRight, kUndecided, 0, 0, 16),
        instruction(kLoadWord, kMajor, BPF_REG_1, 4, 0),
        instruction(kLoadWord, kMinor, BPF_REG_1, 8, 0),
    };
    bool is_decided = false;
    for (size_t i = rules.size(); i-- > 0;) {
        auto rule = TRY(parse_rule(rules[i], i));
        if (is_decided) continue;  // the verifier refuses code that is never reached
        append_rule(program, rule);
        is_decided = rule.is_everything();
    }
    if (!is_decided) {
        program.push_back(instruction(kMoveImmediate, BPF_REG_0, 0, 0, 0));
        program.push_back(instruction(kExit, 0, 0, 0, 0));
    }
    return program;
}

Result<void> apply_v2_devices(int directory, const std::vector<DeviceRule>& rules) {
    auto program = TRY(load_device_program(TRY(compile_device_program(rules))));
    std::vector<Fd> old;
    for (uint32_t id : TRY(attached_programs(directory)))
        old.push_back(TRY(open_program(id)));
    bpf_attr attr;
    std::memset(&attr, 0, sizeof attr);
    attr.target_fd = static_cast<uint32_t>(directory);
    attr.attach_bpf_fd = static_cast<uint32_t>(program.get());
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    if (old.size() == 1) {  // BPF_F_REPLACE: kernel 5.6
        attr.attach_flags |= BPF_F_REPLACE;
        attr.replace_bpf_fd = static_cast<uint32_t>(old[0].get());
        if (bpf(BPF_PROG_ATTACH, attr) == 0) return {};
        attr.attach_flags = BPF_F_ALLOW_MULTI;
        attr.replace_bpf_fd = 0;
    }
    if (bpf(BPF_PROG_ATTACH, attr) != 0)
        return fail_errno(errno, "attach the device policy to the cgroup");
    for (const auto& fd : old) {
        std::memset(&attr, 0, sizeof attr);
        attr.target_fd = static_cast<uint32_t>(directory);
        attr.attach_bpf_fd = static_cast<uint32_t>(fd.get());
        attr.attach_type = BPF_CGROUP_DEVICE;
        if (bpf(BPF_PROG_DETACH, attr) != 0)
            return fail_errno(errno, "detach the old device policy from the cgroup");
    }
    return {};
}

}  // namespace hull::kernel
