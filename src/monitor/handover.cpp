#include "monitor/handover.hpp"

#include <array>

namespace hull::monitor {
namespace {

constexpr std::array<std::string_view, 2> kPurposes = {"container", "session"};

}  // namespace

std::string_view purpose_name(Purpose purpose) {
    return kPurposes.at(static_cast<size_t>(purpose));
}

std::optional<Purpose> parse_purpose(std::string_view name) {
    for (size_t i = 0; i < kPurposes.size(); i++)
        if (kPurposes.at(i) == name) return static_cast<Purpose>(i);
    return std::nullopt;
}

Result<void> send_rootfs(int socket, const RootfsSettings& rootfs) {
    return send_with_fds(socket, encode_frame(FrameType::rootfs, format_rootfs(rootfs)), {});
}

Result<void> send_handover(int socket, const MonitorSettings& settings, int lock, uint8_t wants) {
    std::string bytes = encode_frame(FrameType::settings, format_settings(settings));
    char byte = static_cast<char>(wants);
    bytes += encode_frame(FrameType::hello, {&byte, 1});
    return send_with_fds(socket, bytes, std::array{lock});
}

Result<std::optional<Handover>> receive_handover(
    int socket, const std::function<void(const RootfsSettings& rootfs)>& on_rootfs) {
    Handover out;
    while (true) {
        auto frame = TRY(out.received.next());
        if (frame && frame->type == FrameType::rootfs) {
            auto rootfs = TRY(parse_rootfs(frame->payload, "root file system of the monitor"));
            if (on_rootfs) on_rootfs(rootfs);
            continue;
        }
        if (frame) {
            if (frame->type != FrameType::settings || !out.lock)
                return fail(Errc::corrupt, "the first frame to a monitor is not its settings");
            out.settings = TRY(parse_settings(frame->payload, "settings of the monitor"));
            return out;
        }
        auto message = TRY(receive_with_fds(socket));
        if (message.bytes.empty()) return std::nullopt;
        if (!message.fds.empty()) out.lock = std::move(message.fds.front());
        out.received.append(message.bytes);
    }
}

}  // namespace hull::monitor
