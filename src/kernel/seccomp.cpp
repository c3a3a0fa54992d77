#include "kernel/seccomp.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "kernel/seccomp_newer_calls.hpp"
#include "kernel/seccomp_optimize.hpp"

namespace hull::kernel {
namespace {

constexpr uint32_t kX32Bit = 0x40000000;
/// Architectures that the specification names and libseccomp 2.5 does not: nothing of theirs can
/// run where this filter does.
constexpr std::array<std::string_view, 4> kUnknownToLibrary = {"loongarch64", "m68k", "sh", "sheb"};

struct ReleaseFilter {
    void operator()(void* context) const { seccomp_release(context); }
};
using FilterContext = std::unique_ptr<void, ReleaseFilter>;

uint32_t verdict_of(SeccompAction action, std::optional<uint32_t> errno_value) {
    const auto data = static_cast<uint16_t>(errno_value.value_or(EPERM));
    switch (action) {
        case SeccompAction::kill_thread:
            return SCMP_ACT_KILL_THREAD;
        case SeccompAction::kill_process:
            return SCMP_ACT_KILL_PROCESS;
        case SeccompAction::trap:
            return SCMP_ACT_TRAP;
        case SeccompAction::error:
            return SCMP_ACT_ERRNO(data);
        case SeccompAction::trace:
            return SCMP_ACT_TRACE(data);
        case SeccompAction::log:
            return SCMP_ACT_LOG;
        case SeccompAction::allow:
            return SCMP_ACT_ALLOW;
        case SeccompAction::notify:
            return SCMP_ACT_NOTIFY;
    }
    return SCMP_ACT_KILL_PROCESS;
}

scmp_compare compare_of(SeccompOperator op) {
    switch (op) {
        case SeccompOperator::not_equal:
            return SCMP_CMP_NE;
        case SeccompOperator::less:
            return SCMP_CMP_LT;
        case SeccompOperator::less_or_equal:
            return SCMP_CMP_LE;
        case SeccompOperator::equal:
            return SCMP_CMP_EQ;
        case SeccompOperator::greater_or_equal:
            return SCMP_CMP_GE;
        case SeccompOperator::greater:
            return SCMP_CMP_GT;
        case SeccompOperator::masked_equal:
            return SCMP_CMP_MASKED_EQ;
    }
    return SCMP_CMP_EQ;
}

/// AUDIT_ARCH_* as seccomp_data has it, and what numbers of x32 are marked with.
struct Architecture {
    uint32_t token = 0;  ///< libseccomp's
    uint32_t audit = 0;
    uint32_t mark = 0;
};

Result<std::vector<Architecture>> resolve_architectures(const SeccompFilter& filter) {
    std::vector<Architecture> list;
    auto add = [&](uint32_t token) {
        const bool is_x32 = token == SCMP_ARCH_X32;
        list.push_back({.token = token,
                        .audit = is_x32 ? AUDIT_ARCH_X86_64 : token,
                        .mark = is_x32 ? kX32Bit : 0});
    };
    if (filter.architectures.empty()) add(seccomp_arch_native());
    for (const auto& name : filter.architectures) {
        if (std::find(kUnknownToLibrary.begin(), kUnknownToLibrary.end(), name) !=
            kUnknownToLibrary.end())
            continue;
        const uint32_t token = seccomp_arch_resolve_name(name.c_str());
        if (token == 0)
            return fail(Errc::invalid, "seccomp: unknown architecture " + quote(name),
                        "known are: " + join(known_seccomp_architectures(), ", "));
        add(token);
    }
    return list;
}

tl::unexpected<Error> library_failed(int result, std::string what) {
    return fail_errno(-result, "seccomp: " + std::move(what));
}

Result<FilterContext> create_context(const SeccompFilter& filter,
                                     std::vector<Architecture>& architectures) {
    FilterContext context(seccomp_init(verdict_of(filter.default_action, filter.default_errno)));
    if (!context)
        return fail(Errc::unsupported,
                    fmt::format("seccomp: the kernel does not know the default action {}",
                                seccomp_action_name(filter.default_action)));
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_NNP, 0);
    // A binary tree over the numbers; kept where optimize_seccomp() gives nothing better.
    seccomp_attr_set(context.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
    std::vector<Architecture> added;
    for (const auto& architecture : architectures) {
        const int result = seccomp_arch_add(context.get(), architecture.token);
        // -EDOM: of the other byte order, so nothing of it runs on this machine.
        if (result == -EDOM) continue;
        if (result != 0 && result != -EEXIST) return library_failed(result, "add an architecture");
        added.push_back(architecture);
    }
    const uint32_t native = seccomp_arch_native();
    const bool has_native = std::any_of(architectures.begin(), architectures.end(),
                                        [&](const auto& entry) { return entry.token == native; });
    if (!has_native && !added.empty()) seccomp_arch_remove(context.get(), native);
    architectures = std::move(added);
    return context;
}

std::vector<std::vector<scmp_arg_cmp>> argument_sets(const SeccompRule& rule) {
    std::vector<scmp_arg_cmp> all;
    std::array<int, 6> uses{};
    for (const auto& argument : rule.arguments) {
        all.push_back(scmp_arg_cmp{argument.index, compare_of(argument.op), argument.value,
                                   argument.value_two});
        ++uses[argument.index];
    }
    if (std::none_of(uses.begin(), uses.end(), [](int count) { return count > 1; })) return {all};
    // The library takes one condition per argument; the field's runtimes make each a rule.
    std::vector<std::vector<scmp_arg_cmp>> alternatives;
    for (const auto& one : all)
        alternatives.push_back({one});
    return alternatives;
}

const uint32_t* find_newer_call(std::string_view name) {
    for (const auto& [known, number] : kNewerCalls)
        if (known == name) return &number;
    return nullptr;
}

/// Numbers that the library's own answer is overruled for.
struct Prelude {
    std::vector<SeccompRange> ranges;
    std::vector<uint32_t> last_known;  ///< per architecture: the highest number that a rule names
};

bool shares_new_numbers(uint32_t token) {
    return token == SCMP_ARCH_X86_64 || token == SCMP_ARCH_X86 || token == SCMP_ARCH_X32 ||
           token == SCMP_ARCH_AARCH64 || token == SCMP_ARCH_ARM || token == SCMP_ARCH_RISCV64 ||
           token == SCMP_ARCH_S390X || token == SCMP_ARCH_PPC64LE;
}

Result<void> add_call(const FilterContext& context, const SeccompRule& rule,
                      const std::vector<Architecture>& architectures, const std::string& name,
                      Prelude& prelude) {
    const uint32_t verdict = verdict_of(rule.action, rule.errno_value);
    for (size_t i = 0; i < architectures.size(); ++i) {
        const int number = seccomp_syscall_resolve_name_arch(architectures[i].token, name.c_str());
        if (number >= 0)
            prelude.last_known[i] =
                std::max(prelude.last_known[i], static_cast<uint32_t>(number) & ~kX32Bit);
    }
    const int number = seccomp_syscall_resolve_name(name.c_str());
    if (number == __NR_SCMP_ERROR) {
        const uint32_t* newer = find_newer_call(name);
        if (newer == nullptr || !rule.arguments.empty()) {
            log::debug("seccomp: system call " + quote(name) + " is not known, skipped");
            return {};
        }
        for (size_t i = 0; i < architectures.size(); ++i) {
            if (!shares_new_numbers(architectures[i].token)) continue;
            const uint32_t marked = *newer | architectures[i].mark;
            prelude.ranges.push_back({architectures[i].audit, marked, marked, verdict});
            prelude.last_known[i] = std::max(prelude.last_known[i], *newer);
        }
        return {};
    }
    for (const auto& arguments : argument_sets(rule)) {
        const int result =
            seccomp_rule_add_array(context.get(), verdict, number,
                                   static_cast<unsigned>(arguments.size()), arguments.data());
        if (result != 0 && result != -EEXIST)
            return library_failed(result, fmt::format("add the rule {} for {}",
                                                      seccomp_action_name(rule.action), name));
    }
    return {};
}

Result<void> check_rule(const SeccompRule& rule) {
    for (const auto& argument : rule.arguments)
        if (argument.index > 5)
            return fail(Errc::invalid,
                        fmt::format("seccomp: argument index {} is over 5", argument.index),
                        "a system call has arguments 0 to 5");
    if (rule.action == SeccompAction::notify)
        for (const auto& name : rule.names)
            if (name == "write")
                return fail(Errc::invalid, "seccomp: SCMP_ACT_NOTIFY cannot be used for write",
                            "the runtime writes before anybody can listen");
    return {};
}

/// A program that probes for a call newer than the profile must see ENOSYS, as on an older kernel,
/// and fall back; EPERM would be taken for a real answer. Not for defaults that let calls through.
void answer_newer_calls(const SeccompFilter& filter, const std::vector<Architecture>& architectures,
                        Prelude& prelude) {
    if (filter.default_action == SeccompAction::allow ||
        filter.default_action == SeccompAction::log ||
        filter.default_action == SeccompAction::trace)
        return;
    if (filter.default_action == SeccompAction::error && filter.default_errno == ENOSYS) return;
    for (size_t i = 0; i < architectures.size(); ++i) {
        const uint32_t last = prelude.last_known[i];
        if (last == 0) continue;
        const bool splits =
            architectures[i].audit == AUDIT_ARCH_X86_64 && architectures[i].mark == 0;
        prelude.ranges.push_back({architectures[i].audit, (last + 1) | architectures[i].mark,
                                  splits ? kX32Bit - 1 : UINT32_MAX, SCMP_ACT_ERRNO(ENOSYS)});
    }
}

Result<std::vector<sock_filter>> export_program(const FilterContext& context) {
    Fd file(memfd_create("seccomp", MFD_CLOEXEC));
    if (!file) return fail_errno(errno, "seccomp: make a memory file");
    if (int result = seccomp_export_bpf(context.get(), file.get()); result != 0)
        return library_failed(result, "generate the filter program");
    if (lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "seccomp: read the program");
    const std::string bytes = TRY(read_all(file.get()));
    std::vector<sock_filter> program(bytes.size() / sizeof(sock_filter));
    std::memcpy(program.data(), bytes.data(), program.size() * sizeof(sock_filter));
    return program;
}

uint32_t flags_of(const SeccompFilter& filter) {
    uint32_t flags = 0;
    if (filter.log) flags |= SECCOMP_FILTER_FLAG_LOG;
    if (filter.allow_speculation) flags |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    if (filter.synchronize_threads) flags |= SECCOMP_FILTER_FLAG_TSYNC;
    if (filter.uses_notify()) {
        flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
        // Both answer through the return value; with ESRCH they can be told apart (kernel 5.7).
        if (filter.synchronize_threads) flags |= SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
        if (filter.wait_killable) flags |= SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    }
    return flags;
}

}  // namespace

bool SeccompFilter::uses_notify() const {
    return default_action == SeccompAction::notify ||
           std::any_of(rules.begin(), rules.end(), [](const SeccompRule& rule) {
               return rule.action == SeccompAction::notify;
           });
}

Result<SeccompProgram> compile_seccomp(const SeccompFilter& filter, SeccompEffort effort) {
    if (filter.default_action == SeccompAction::notify)
        return fail(Errc::invalid, "seccomp: SCMP_ACT_NOTIFY cannot be the default action",
                    "the runtime's own calls would wait for a listener that is not there yet");
    auto architectures = TRY(resolve_architectures(filter));
    auto context = TRY(create_context(filter, architectures));
    Prelude prelude;
    prelude.last_known.resize(architectures.size());
    const uint32_t default_verdict = verdict_of(filter.default_action, filter.default_errno);
    for (const auto& rule : filter.rules) {
        TRY(check_rule(rule));
        // What the default does anyway is refused by the library as a rule; but the names count as
        // known.
        if (verdict_of(rule.action, rule.errno_value) == default_verdict) {
            for (const auto& name : rule.names)
                for (size_t i = 0; i < architectures.size(); ++i)
                    if (int number =
                            seccomp_syscall_resolve_name_arch(architectures[i].token, name.c_str());
                        number >= 0)
                        prelude.last_known[i] = std::max(prelude.last_known[i],
                                                         static_cast<uint32_t>(number) & ~kX32Bit);
            continue;
        }
        for (const auto& name : rule.names)
            TRY(add_call(context, rule, architectures, name, prelude));
    }
    answer_newer_calls(filter, architectures, prelude);
    SeccompProgram program;
    program.flags = flags_of(filter);
    program.instructions = prepend_ranges(TRY(export_program(context)), prelude.ranges);
    if (effort == SeccompEffort::shortest)
        if (auto shorter = optimize_seccomp(program.instructions, seccomp_arch_native()))
            program.instructions = std::move(*shorter);
    if (program.instructions.size() > BPF_MAXINSNS)
        return fail(Errc::invalid,
                    fmt::format("seccomp: the filter takes {} instructions, the kernel's limit is "
                                "{}",
                                program.instructions.size(), BPF_MAXINSNS),
                    "name fewer calls or argument conditions");
    return program;
}

Result<SeccompProgram> seccomp_program_from_bytes(std::string_view bytes) {
    const size_t count = bytes.size() / sizeof(sock_filter);
    if (bytes.empty() || bytes.size() % sizeof(sock_filter) != 0 || count > BPF_MAXINSNS)
        return fail(Errc::invalid,
                    fmt::format("seccomp: {} bytes are no filter program", bytes.size()),
                    fmt::format("it is 1 to {} instructions of 8 bytes", BPF_MAXINSNS));
    SeccompProgram program;
    program.instructions.resize(count);
    std::memcpy(program.instructions.data(), bytes.data(), bytes.size());
    return program;
}

bool is_known_system_call(const std::string& name) {
    return seccomp_syscall_resolve_name(name.c_str()) != __NR_SCMP_ERROR;
}

Result<std::optional<Fd>> install_seccomp(const SeccompProgram& program) {
    sock_fprog code{};
    code.len = static_cast<unsigned short>(program.instructions.size());
    code.filter = const_cast<sock_filter*>(program.instructions.data());
    const long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program.flags, &code);
    if (result < 0) {
        const int code_number = errno;
        if (code_number == EACCES)
            return fail_errno(code_number, "install the seccomp filter",
                              "set noNewPrivileges, or keep CAP_SYS_ADMIN");
        if (code_number == EINVAL)
            return fail_errno(code_number, "install the seccomp filter",
                              "this kernel does not know one of its flags or actions");
        if (code_number == EBUSY)
            return fail_errno(code_number, "install the seccomp filter",
                              "the process has a notification listener already");
        return fail_errno(code_number, "install the seccomp filter");
    }
    if ((program.flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) != 0)
        return std::optional<Fd>(Fd(static_cast<int>(result)));
    return std::optional<Fd>();
}

}  // namespace hull::kernel
