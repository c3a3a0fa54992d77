#include <array>
#include <map>
#include <string>

#include <doctest/doctest.h>

#include "kernel/cgroup_devices.hpp"

using namespace hull;
using namespace hull::kernel;

namespace {

struct Request {
    char type;
    uint32_t major;
    uint32_t minor;
    std::string access;
};

uint32_t access_bits(const std::string& access) {
    uint32_t bits = 0;
    for (char c : access)
        bits |= c == 'r'   ? BPF_DEVCG_ACC_READ
                : c == 'w' ? BPF_DEVCG_ACC_WRITE
                           : BPF_DEVCG_ACC_MKNOD;
    return bits;
}

/// Runs the part of eBPF that device programs use. -1: malformed.
int run(const std::vector<bpf_insn>& program, const Request& request) {
    std::array<uint64_t, 11> r{};
    const std::array<uint32_t, 3> context = {
        access_bits(request.access) << 16U |
            static_cast<uint32_t>(request.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
        request.major, request.minor};
    for (size_t pc = 0; pc < program.size(); ++pc) {
        const auto& in = program[pc];
        const auto imm = static_cast<uint64_t>(static_cast<int64_t>(in.imm));
        switch (in.code) {
            case BPF_LDX | BPF_MEM | BPF_W:
                if (in.src_reg != BPF_REG_1 || in.off % 4 != 0 || in.off > 8) return -1;
                r[in.dst_reg] = context[static_cast<size_t>(in.off / 4)];
                break;
            case BPF_ALU64 | BPF_MOV | BPF_X:
                r[in.dst_reg] = r[in.src_reg];
                break;
            case BPF_ALU64 | BPF_MOV | BPF_K:
                r[in.dst_reg] = imm;
                break;
            case BPF_ALU64 | BPF_AND | BPF_K:
                r[in.dst_reg] &= imm;
                break;
            case BPF_ALU64 | BPF_RSH | BPF_K:
                r[in.dst_reg] >>= imm;
                break;
            case BPF_JMP | BPF_JNE | BPF_K:
                if (r[in.dst_reg] != imm) pc += static_cast<size_t>(in.off);
                break;
            case BPF_JMP | BPF_JEQ | BPF_K:
                if (r[in.dst_reg] == imm) pc += static_cast<size_t>(in.off);
                break;
            case BPF_JMP | BPF_EXIT:
                return static_cast<int>(r[0]);
            default:
                return -1;
        }
    }
    return -1;
}

/// What the rules say, word for word: each access bit is decided by the last rule that names it.
bool is_allowed(const std::vector<DeviceRule>& rules, const Request& request) {
    for (char bit : request.access) {
        bool allowed = false;
        for (const auto& rule : rules) {
            if (rule.type != 'a' && rule.type != request.type) continue;
            if (rule.major >= 0 && rule.major != request.major) continue;
            if (rule.minor >= 0 && rule.minor != request.minor) continue;
            if (rule.access.find(bit) == std::string::npos) continue;
            allowed = rule.allow;
        }
        if (!allowed) return false;
    }
    return true;
}

const std::vector<DeviceRule> kDocker = {
    {.allow = false},
    {.allow = true, .type = 'c', .major = 1, .minor = 5},
    {.allow = true, .type = 'c', .major = 1, .minor = 3},
    {.allow = true, .type = 'c', .major = 5, .minor = 0},
    {.allow = false, .type = 'c', .major = 10, .minor = 229},
};

}  // namespace

TEST_CASE("the v2 device program decides as the rules say, for every combination") {
    std::vector<std::vector<DeviceRule>> policies = {
        {},
        {{.allow = true}},
        kDocker,
        {{.allow = true}, {.allow = false, .type = 'c', .major = 1, .access = "w"}},
        {{.allow = true, .type = 'c', .major = 1, .access = "r"},
         {.allow = true, .type = 'c', .minor = 3, .access = "w"}},
        {{.allow = true, .type = 'b'}, {.allow = false, .major = 8, .minor = 0, .access = "rm"}},
        {{.allow = true, .type = 'c', .major = 1, .minor = 3}, {.allow = false}},
    };
    auto with_defaults = kDocker;
    for (const auto& rule : default_device_rules())
        with_defaults.push_back(rule);
    policies.push_back(with_defaults);
    for (const auto& rules : policies) {
        auto program = compile_device_program(rules);
        REQUIRE(program.has_value());
        for (char type : {'b', 'c'})
            for (uint32_t major : {0U, 1U, 5U, 8U, 10U, 136U})
                for (uint32_t minor : {0U, 2U, 3U, 5U, 9U, 229U})
                    for (const char* access : {"r", "w", "m", "rw", "rm", "wm", "rwm"}) {
                        const Request request{type, major, minor, access};
                        REQUIRE(run(*program, request) == (is_allowed(rules, request) ? 1 : 0));
                    }
    }
}

TEST_CASE("nothing follows a rule for everything, as the verifier refuses dead code") {
    auto program = compile_device_program(
        {{.allow = true, .type = 'c', .major = 1, .minor = 3}, {.allow = false}});
    REQUIRE(program.has_value());
    CHECK(program->size() == 6 + 2);
    CHECK(program->back().code == (BPF_JMP | BPF_EXIT));
}

TEST_CASE("v1 gets the default first and then the exceptions") {
    auto writes = plan_v1_devices(kDocker);
    REQUIRE(writes.has_value());
    CHECK(*writes == std::vector<DeviceWrite>{{"devices.deny", "a"},
                                              {"devices.allow", "c 1:5 rwm"},
                                              {"devices.allow", "c 1:3 rwm"},
                                              {"devices.allow", "c 5:0 rwm"}});
    auto open = plan_v1_devices({{.allow = true}, {.allow = false, .type = 'b', .major = 8}});
    REQUIRE(open.has_value());
    CHECK(*open == std::vector<DeviceWrite>{{"devices.allow", "a"}, {"devices.deny", "b 8:* rwm"}});
}

TEST_CASE("v1 exceptions of one device are merged, and taken back by a later rule") {
    auto writes =
        plan_v1_devices({{.allow = true, .type = 'c', .major = 1, .minor = 3, .access = "r"},
                         {.allow = true, .type = 'c', .major = 1, .minor = 3, .access = "w"},
                         {.allow = true, .type = 'c', .major = 1, .minor = 5},
                         {.allow = false, .type = 'c', .major = 1, .minor = 5}});
    REQUIRE(writes.has_value());
    CHECK(*writes ==
          std::vector<DeviceWrite>{{"devices.deny", "a"}, {"devices.allow", "c 1:3 rw"}});
}

TEST_CASE("v1 refuses a rule that takes a part out of a wider one") {
    auto refused = plan_v1_devices({{.allow = true, .type = 'c', .major = 1},
                                    {.allow = false, .type = 'c', .major = 1, .minor = 3}});
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::unsupported);
    CHECK(refused.error().message.find("c 1:3 rwm") != std::string::npos);
}

TEST_CASE("bad device rules are refused by their index") {
    CHECK(compile_device_program({{.type = 'x'}}).error().code == Errc::invalid);
    CHECK(compile_device_program({{.access = "rx"}}).error().code == Errc::invalid);
    CHECK(compile_device_program({{.type = 'c', .major = 1LL << 40}}).error().code ==
          Errc::invalid);
    CHECK(plan_v1_devices({{.allow = true}, {.type = 'p'}}).error().message.find("rule 1") !=
          std::string::npos);
}
