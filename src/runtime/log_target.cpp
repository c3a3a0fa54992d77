#include "runtime/log_target.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.hpp"

namespace hull::runtime {
namespace {

constexpr const char* kSyslogSocket = "/dev/log";
constexpr const char* kJournalSocket = "/run/systemd/journal/socket";

/// The log's sink has no state of its own: one process has one log.
struct Target {
    int socket = -1;
    std::string identifier;
};
Target target;

int priority_of(log::Level level) {
    switch (level) {
        case log::Level::debug:
            return LOG_DEBUG;
        case log::Level::info:
            return LOG_INFO;
        case log::Level::warning:
            return LOG_WARNING;
        case log::Level::error:
            return LOG_ERR;
    }
    return LOG_ERR;
}

std::string one_line(std::string_view text) {
    std::string line{text};
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
}

void send(const std::string& datagram) {
    // A log that cannot be written has nowhere to say so.
    (void)::send(target.socket, datagram.data(), datagram.size(), MSG_NOSIGNAL);
}

/// syslog(3), RFC 3164 without the time, which the server knows.
void write_to_syslog(log::Level level, std::string_view message) {
    if (level < log::settings().level) return;
    send("<" + std::to_string(LOG_USER | priority_of(level)) + ">" + target.identifier + ": " +
         one_line(message));
}

/// The journal's native protocol, systemd.io/JOURNAL_NATIVE_PROTOCOL.
void write_to_journal(log::Level level, std::string_view message) {
    if (level < log::settings().level) return;
    send("PRIORITY=" + std::to_string(priority_of(level)) +
         "\nSYSLOG_IDENTIFIER=" + target.identifier + "\nMESSAGE=" + one_line(message) + "\n");
}

Result<Fd> connect_to(const char* path) {
    Fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    if (!socket) return fail_errno(errno, "--log: socket");
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0)
        return fail_errno(errno, std::string{"--log: connect to "} + path,
                          "is the service running? --log FILE needs none");
    return socket;
}

Result<Fd> use_service(const char* path, std::string_view identifier, log::Settings settings,
                       void (*sink)(log::Level, std::string_view)) {
    Fd socket = TRY(connect_to(path));
    target = {.socket = socket.get(), .identifier = one_line(identifier)};
    settings.sink = sink;
    log::configure(settings);
    return socket;
}

}  // namespace

Result<Fd> configure_log(const Settings& settings) {
    log::Settings how{.level = settings.log_level, .format = settings.log_format};
    std::string_view where = settings.log_file;
    if (where.starts_with("journald:"))
        return use_service(kJournalSocket, where.substr(9), how, write_to_journal);
    if (where.starts_with("syslog:"))
        return use_service(kSyslogSocket, where.substr(7), how, write_to_syslog);
    if (where.starts_with("file:")) where.remove_prefix(5);
    Fd file;
    if (!where.empty()) {
        file = TRY(with_context(open_path(std::string{where}, O_WRONLY | O_CREAT | O_APPEND, 0644),
                                "--log"));
        how.fd = file.get();
    }
    log::configure(how);
    return file;
}

}  // namespace hull::runtime
