#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace hull::kernel {

/// System calls that libseccomp 2.5.4 (kernel 5.17) does not know. Since 5.1 new calls have one
/// number on all architectures but alpha and (with an offset each) mips.
inline constexpr std::array<std::pair<std::string_view, uint32_t>, 19> kNewerCalls = {{
    {"cachestat", 451},          // kernel 6.5
    {"fchmodat2", 452},          // 6.6
    {"map_shadow_stack", 453},   // 6.6
    {"futex_wake", 454},         // 6.7
    {"futex_wait", 455},         // 6.7
    {"futex_requeue", 456},      // 6.7
    {"statmount", 457},          // 6.8
    {"listmount", 458},          // 6.8
    {"lsm_get_self_attr", 459},  // 6.8
    {"lsm_set_self_attr", 460},  // 6.8
    {"lsm_list_modules", 461},   // 6.8
    {"mseal", 462},              // 6.10
    {"setxattrat", 463},         // 6.13
    {"getxattrat", 464},         // 6.13
    {"listxattrat", 465},        // 6.13
    {"removexattrat", 466},      // 6.13
    {"open_tree_attr", 467},     // 6.15
    {"file_getattr", 468},       // 6.17
    {"file_setattr", 469},       // 6.17
}};

}  // namespace hull::kernel
