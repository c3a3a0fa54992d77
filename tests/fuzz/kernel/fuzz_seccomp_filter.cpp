#include <linux/audit.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel/seccomp_cache.hpp"
#include "kernel/seccomp_optimize.hpp"

// Any bytes as a filter program: what the optimizer makes of it must decide the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace hull::kernel;
    (void)decode_seccomp_entry({reinterpret_cast<const char*>(data), size}, "source");
    std::vector<sock_filter> program(std::min<size_t>(size / sizeof(sock_filter), 64));
    if (program.empty()) return 0;
    std::memcpy(program.data(), data, program.size() * sizeof(sock_filter));
    auto shorter = optimize_seccomp(program, AUDIT_ARCH_X86_64);
    if (!shorter) return 0;
    for (uint32_t arch : {uint32_t{AUDIT_ARCH_X86_64}, uint32_t{AUDIT_ARCH_I386}, 0U})
        for (uint32_t number = 0; number < 600; number += 7)
            for (uint64_t argument : {uint64_t{0}, uint64_t{1}, UINT64_MAX}) {
                seccomp_data call{};
                call.arch = arch;
                call.nr = static_cast<int>(number);
                for (auto& value : call.args)
                    value = argument;
                if (run_seccomp_filter(program, call) != run_seccomp_filter(*shorter, call))
                    std::abort();
            }
    return 0;
}
