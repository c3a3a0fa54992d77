#pragma once

#include <functional>
#include <optional>

#include "base/fd.hpp"
#include "base/result.hpp"
#include "monitor/attach.hpp"
#include "monitor/settings.hpp"

// A monitor takes a while to start. It is started before anybody knows what for, gets ready, and
// waits for its settings on the socket that becomes its first client; its starter finds them out
// meanwhile. The root file system can go ahead of the rest, to be mounted already.

namespace hull::monitor {

/// What a monitor will stand by: how it gets ready without settings.
enum class Purpose { container, session };

std::string_view purpose_name(Purpose purpose);
std::optional<Purpose> parse_purpose(std::string_view name);

struct Handover {
    MonitorSettings settings;
    Fd lock;               ///< kMonitorLock, held for as long as it is open; the starter took it
    FrameReader received;  ///< what follows the settings
};

/// To a monitor that waits: what the settings' rootfs will be.
/// @errors io: the monitor is gone
Result<void> send_rootfs(int socket, const RootfsSettings& rootfs);

/// To a monitor that waits. In one message, so that it gets either all of it or nothing.
/// @param lock  descriptor of the lock; stays the caller's
/// @param wants  of the first client, which `socket` becomes
/// @errors io: the monitor is gone
Result<void> send_handover(int socket, const MonitorSettings& settings, int lock, uint8_t wants);

/// Waits for the settings.
/// @param on_rootfs  called with what send_rootfs() sent, if it did
/// @return  nullopt: the other side is gone and wants no monitor
/// @errors corrupt; invalid: names the field
Result<std::optional<Handover>> receive_handover(
    int socket, const std::function<void(const RootfsSettings& rootfs)>& on_rootfs = {});

}  // namespace hull::monitor
