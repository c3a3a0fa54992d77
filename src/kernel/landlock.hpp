#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// LANDLOCK_ACCESS_FS_*, landlock(7), with the ABI that brought them.
enum class LandlockAccess : uint64_t {
    execute = 1U << 0U,
    write_file = 1U << 1U,
    read_file = 1U << 2U,
    read_directory = 1U << 3U,
    remove_directory = 1U << 4U,
    remove_file = 1U << 5U,
    make_character = 1U << 6U,
    make_directory = 1U << 7U,
    make_regular = 1U << 8U,
    make_socket = 1U << 9U,
    make_fifo = 1U << 10U,
    make_block = 1U << 11U,
    make_symlink = 1U << 12U,
    refer = 1U << 13U,         ///< ABI 2
    truncate = 1U << 14U,      ///< ABI 3
    ioctl_device = 1U << 15U,  ///< ABI 5
};
constexpr uint64_t bits(LandlockAccess access) {
    return static_cast<uint64_t>(access);
}

/// Sets of rights for rules.
inline constexpr uint64_t kLandlockRead = bits(LandlockAccess::execute) |
                                          bits(LandlockAccess::read_file) |
                                          bits(LandlockAccess::read_directory);
inline constexpr uint64_t kLandlockWrite = 0xFFFFU & ~kLandlockRead;
inline constexpr uint64_t kLandlockAll = 0xFFFFU;
/// What may be given for a rule about a file that is no directory.
inline constexpr uint64_t kLandlockFile =
    bits(LandlockAccess::execute) | bits(LandlockAccess::write_file) |
    bits(LandlockAccess::read_file) | bits(LandlockAccess::truncate) |
    bits(LandlockAccess::ioctl_device);

inline constexpr uint64_t kLandlockBindTcp = 1;     ///< ABI 4
inline constexpr uint64_t kLandlockConnectTcp = 2;  ///< ABI 4
/// Abstract unix sockets of processes outside cannot be connected to. ABI 6
inline constexpr uint64_t kLandlockScopeAbstractSocket = 1;
/// Processes outside cannot be signalled. ABI 6
inline constexpr uint64_t kLandlockScopeSignal = 2;

/// The version that this kernel enforces; 0: none.
int landlock_abi();

/// What a ruleset restricts; what is not handled stays free. Rights that this kernel's ABI does not
/// know are left out: compare landlock_abi() where that matters.
struct LandlockSettings {
    uint64_t handled_files = 0;  ///< LandlockAccess bits
    uint64_t handled_ports = 0;  ///< kLandlockBindTcp …
    uint64_t scopes = 0;         ///< kLandlockScope…
};
/// What of `asked` is not in `active`, with the kernel that has it: "TCP ports (Linux 6.7)"; empty:
/// nothing is missing.
std::string missing_in_landlock(const LandlockSettings& asked, const LandlockSettings& active);

/// Rules that a process puts itself under, for good, with all its descendants.
class LandlockRuleset {
  public:
    /// @errors unsupported: no Landlock here
    static Result<LandlockRuleset> create(const LandlockSettings& settings);
    /// Allows `access` (LandlockAccess bits) for what the O_PATH descriptor names and all below.
    Result<void> allow_path(int fd, uint64_t access);
    /// Allows to bind or connect a TCP port.
    Result<void> allow_port(uint16_t port, uint64_t access);
    /// Needs no_new_privs or CAP_SYS_ADMIN. From then on mount(2) and the like are refused to a
    /// ruleset that handles files.
    Result<void> restrict_self() const;
    /// What is in force after leaving out what this kernel does not know.
    const LandlockSettings& settings() const { return settings_; }

  private:
    LandlockRuleset(Fd fd, const LandlockSettings& settings)
        : fd_(std::move(fd)), settings_(settings) {}
    Fd fd_;
    LandlockSettings settings_;
};

}  // namespace hull::kernel
