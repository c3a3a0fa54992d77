#include "kernel/netlink.hpp"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "kernel/namespaces.hpp"

namespace hull::kernel {

namespace {

size_t aligned(size_t size) {
    return (size + 3U) & ~size_t{3};
}

template <typename T>
bool read_struct(std::string_view bytes, T& value) {
    if (bytes.size() < sizeof value) return false;
    std::memcpy(&value, bytes.data(), sizeof value);
    return true;
}

}  // namespace

NetlinkMessage::NetlinkMessage(uint16_t type, uint16_t flags) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = flags;
    put(header);
}

void NetlinkMessage::put_bytes(std::string_view bytes) {
    bytes_.append(bytes);
    bytes_.resize(aligned(bytes_.size()), '\0');
}

void NetlinkMessage::attribute(uint16_t type, std::string_view value) {
    rtattr header{};
    header.rta_len = static_cast<unsigned short>(sizeof header + value.size());
    header.rta_type = type;
    put(header);
    put_bytes(value);
}

void NetlinkMessage::attribute_string(uint16_t type, std::string_view value) {
    std::string with_nul(value);
    with_nul.push_back('\0');
    attribute(type, with_nul);
}

void NetlinkMessage::attribute_u32(uint16_t type, uint32_t value) {
    attribute(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
}

size_t NetlinkMessage::begin_nested(uint16_t type) {
    size_t mark = bytes_.size();
    attribute(type | NLA_F_NESTED, {});
    return mark;
}

void NetlinkMessage::end_nested(size_t mark) {
    auto length = static_cast<unsigned short>(bytes_.size() - mark);
    std::memcpy(bytes_.data() + mark, &length, sizeof length);
}

std::string NetlinkMessage::finish(uint32_t sequence) const {
    std::string bytes = bytes_;
    nlmsghdr header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    header.nlmsg_len = static_cast<uint32_t>(bytes.size());
    header.nlmsg_seq = sequence;
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
}

std::optional<uint32_t> NetlinkAttribute::as_u32() const {
    uint32_t number = 0;
    if (!read_struct(value, number)) return std::nullopt;
    return number;
}

std::string NetlinkAttribute::as_string() const {
    return std::string(value.substr(0, value.find('\0')));
}

std::vector<NetlinkAttribute> parse_attributes(std::string_view bytes) {
    std::vector<NetlinkAttribute> attributes;
    rtattr header{};
    while (read_struct(bytes, header)) {
        if (header.rta_len < sizeof header || header.rta_len > bytes.size()) break;
        NetlinkAttribute attribute;
        attribute.type = header.rta_type & NLA_TYPE_MASK;
        attribute.value = bytes.substr(sizeof header, header.rta_len - sizeof header);
        attributes.push_back(attribute);
        bytes.remove_prefix(std::min(bytes.size(), aligned(header.rta_len)));
    }
    return attributes;
}

Result<NetlinkSocket> NetlinkSocket::open() {
    Fd fd{::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
    if (!fd) return fail_errno(errno, "open a routing socket");
    return NetlinkSocket{std::move(fd)};
}

Result<NetlinkSocket> NetlinkSocket::open_in(int network_namespace) {
    Fd own = TRY(open_path("/proc/self/ns/net", O_RDONLY));
    TRY(join_namespace(network_namespace, NamespaceKind::network));
    auto socket = open();
    // Back in any case: the process would go on in the container's network.
    TRY(with_context(join_namespace(own.get(), NamespaceKind::network), "return to our network"));
    return socket;
}

Result<void> NetlinkSocket::send(const std::string& bytes, std::string_view what) {
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    if (::sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                 reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) < 0)
        return fail_errno(errno, std::string(what));
    return {};
}

namespace {

/// One datagram from the kernel; those of anybody else are dropped.
Result<std::string> receive(int socket, std::string_view what) {
    std::string buffer(65536, '\0');
    for (;;) {
        sockaddr_nl sender{};
        socklen_t size = sizeof sender;
        ssize_t got = ::recvfrom(socket, buffer.data(), buffer.size(), MSG_TRUNC,
                                 reinterpret_cast<sockaddr*>(&sender), &size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail_errno(errno, std::string(what));
        if (sender.nl_pid != 0) continue;
        if (static_cast<size_t>(got) > buffer.size())
            return fail(Errc::internal,
                        std::string(what) + ": an answer of the kernel is too long");
        buffer.resize(static_cast<size_t>(got));
        return buffer;
    }
}

/// Takes the first message off `bytes`. False: nothing whole is left.
bool take_message(std::string_view& bytes, nlmsghdr& header, std::string_view& payload) {
    if (!read_struct(bytes, header)) return false;
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size()) return false;
    payload = bytes.substr(sizeof header, header.nlmsg_len - sizeof header);
    bytes.remove_prefix(std::min(bytes.size(), aligned(header.nlmsg_len)));
    return true;
}

Result<void> check_error(std::string_view payload, std::string_view what) {
    nlmsgerr error{};
    if (!read_struct(payload, error))
        return fail(Errc::internal, std::string(what) + ": short answer");
    if (error.error == 0) return {};
    int cause = -error.error;
    std::string hint = cause == EPERM ? "it needs CAP_NET_ADMIN in that network namespace" : "";
    return fail_errno(cause, std::string(what), hint);
}

}  // namespace

Result<void> NetlinkSocket::request(const NetlinkMessage& message, std::string_view what) {
    uint32_t sequence = ++sequence_;
    std::string bytes = message.finish(sequence);
    nlmsghdr header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
    std::memcpy(bytes.data(), &header, sizeof header);
    TRY(send(bytes, what));
    for (;;) {
        std::string answer = TRY(receive(fd_.get(), what));
        std::string_view rest = answer;
        std::string_view payload;
        while (take_message(rest, header, payload))
            if (header.nlmsg_seq == sequence && header.nlmsg_type == NLMSG_ERROR)
                return check_error(payload, what);
    }
}

Result<std::vector<NetlinkReply>> NetlinkSocket::dump(const NetlinkMessage& message,
                                                      std::string_view what) {
    uint32_t sequence = ++sequence_;
    std::string bytes = message.finish(sequence);
    nlmsghdr header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    header.nlmsg_flags |= NLM_F_REQUEST | NLM_F_DUMP;
    std::memcpy(bytes.data(), &header, sizeof header);
    TRY(send(bytes, what));
    std::vector<NetlinkReply> replies;
    for (;;) {
        std::string answer = TRY(receive(fd_.get(), what));
        std::string_view rest = answer;
        std::string_view payload;
        while (take_message(rest, header, payload)) {
            if (header.nlmsg_seq != sequence) continue;
            if (header.nlmsg_type == NLMSG_DONE) return replies;
            if (header.nlmsg_type == NLMSG_ERROR) {
                TRY(check_error(payload, what));
                return replies;
            }
            replies.push_back({header.nlmsg_type, std::string(payload)});
        }
    }
}

}  // namespace hull::kernel
