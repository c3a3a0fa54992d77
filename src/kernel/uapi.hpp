#pragma once

#include <sys/syscall.h>
#include <sys/types.h>

#include <cstdint>

// Kernel constants and structures that are newer than Debian 12's headers (6.1) or that glibc's
// headers do not have, each with the kernel version that brought it.

// Numbers are the same on every architecture since 5.0's common table.
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452  // 6.6
#endif
#ifndef SYS_statmount
#define SYS_statmount 457  // 6.8
#endif
#ifndef SYS_listmount
#define SYS_listmount 458  // 6.8
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463  // 6.13
#endif
#ifndef SYS_getxattrat
#define SYS_getxattrat 464  // 6.13
#endif
#ifndef SYS_listxattrat
#define SYS_listxattrat 465  // 6.13
#endif
#ifndef SYS_removexattrat
#define SYS_removexattrat 466  // 6.13
#endif

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080  // 5.6
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL  // 5.7
#endif
#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x00001000  // 5.2
#endif
#ifndef STATX_MNT_ID
#define STATX_MNT_ID 0x00001000U  // 5.8
#endif
#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)  // 5.19
#endif
#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256  // 5.10
#endif

namespace hull::kernel {

/// clone_args of clone3(2), version 2 (5.7).
struct CloneArgs {
    uint64_t flags;
    uint64_t pidfd;
    uint64_t child_tid;
    uint64_t parent_tid;
    uint64_t exit_signal;
    uint64_t stack;
    uint64_t stack_size;
    uint64_t tls;
    uint64_t set_tid;
    uint64_t set_tid_size;
    uint64_t cgroup;
};

inline constexpr unsigned int kMoveMountBeneath = 0x200;     ///< MOVE_MOUNT_BENEATH, 6.5
inline constexpr unsigned int kFsconfigCreateExclusive = 8;  ///< FSCONFIG_CMD_CREATE_EXCL, 6.6

// File system magic numbers, statfs(2).
inline constexpr uint64_t kProcMagic = 0x9fa0;
inline constexpr uint64_t kSysfsMagic = 0x62656572;
inline constexpr uint64_t kTmpfsMagic = 0x01021994;
inline constexpr uint64_t kNsfsMagic = 0x6e736673;
inline constexpr uint64_t kCgroup1Magic = 0x27e0eb;
inline constexpr uint64_t kCgroup2Magic = 0x63677270;
inline constexpr uint64_t kDevptsMagic = 0x1cd1;
inline constexpr uint64_t kResctrlMagic = 0x07655821;
inline constexpr uint64_t kOverlayMagic = 0x794c7630;

/// sched_attr of sched_setattr(2) with utilisation clamps (5.3).
struct SchedAttr {
    uint32_t size;
    uint32_t sched_policy;
    uint64_t sched_flags;
    int32_t sched_nice;
    uint32_t sched_priority;
    uint64_t sched_runtime;   ///< ns
    uint64_t sched_deadline;  ///< ns
    uint64_t sched_period;    ///< ns
    uint32_t sched_util_min;
    uint32_t sched_util_max;
};

/// xattr_args of setxattrat(2), 6.13.
struct XattrArgs {
    uint64_t value;
    uint32_t size;
    uint32_t flags;
};

// landlock(7), up to ABI 7 (6.15).
struct LandlockRulesetAttr {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;  ///< ABI 4
    uint64_t scoped;              ///< ABI 6
};
struct __attribute__((packed)) LandlockPathBeneathAttr {
    uint64_t allowed_access;
    int32_t parent_fd;
};
struct LandlockNetPortAttr {
    uint64_t allowed_access;
    uint64_t port;
};

}  // namespace hull::kernel
