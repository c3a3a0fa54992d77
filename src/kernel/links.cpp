// Interfaces and addresses: the operations of netlink.hpp.

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/text.hpp"
#include "kernel/netlink.hpp"

namespace hull::kernel {

namespace {

/// Splits an answer into its fixed part and the attributes after it.
template <typename T>
bool split_reply(const NetlinkReply& reply, T& fixed, std::vector<NetlinkAttribute>& attributes) {
    if (reply.payload.size() < sizeof fixed) return false;
    std::memcpy(&fixed, reply.payload.data(), sizeof fixed);
    attributes = parse_attributes(std::string_view(reply.payload).substr(sizeof fixed));
    return true;
}

ifinfomsg link_header(int32_t index) {
    ifinfomsg header{};
    header.ifi_family = AF_UNSPEC;
    header.ifi_index = index;
    return header;
}

Result<void> set_up(NetlinkSocket& socket, int32_t index, bool up) {
    ifinfomsg header = link_header(index);
    header.ifi_flags = up ? IFF_UP : 0;
    header.ifi_change = IFF_UP;
    NetlinkMessage message(RTM_NEWLINK, 0);
    message.put(header);
    return socket.request(message,
                          "set interface " + std::to_string(index) + (up ? " up" : " down"));
}

}  // namespace

Result<std::vector<Link>> list_links(NetlinkSocket& socket) {
    NetlinkMessage message(RTM_GETLINK, 0);
    message.put(link_header(0));
    std::vector<Link> links;
    for (const NetlinkReply& reply : TRY(socket.dump(message, "list network interfaces"))) {
        ifinfomsg header{};
        std::vector<NetlinkAttribute> attributes;
        if (reply.type != RTM_NEWLINK || !split_reply(reply, header, attributes)) continue;
        Link link;
        link.index = header.ifi_index;
        link.flags = header.ifi_flags;
        for (const NetlinkAttribute& attribute : attributes) {
            if (attribute.type == IFLA_IFNAME) link.name = attribute.as_string();
            if (attribute.type == IFLA_MTU) link.mtu = attribute.as_u32().value_or(0);
        }
        links.push_back(std::move(link));
    }
    return links;
}

Result<Link> find_link(NetlinkSocket& socket, std::string_view name) {
    for (Link& link : TRY(list_links(socket)))
        if (link.name == name) return std::move(link);
    return fail(Errc::not_found, "network interface " + quote(name) + " does not exist");
}

Result<std::vector<LinkAddress>> list_addresses(NetlinkSocket& socket) {
    NetlinkMessage message(RTM_GETADDR, 0);
    message.put(ifaddrmsg{});
    std::vector<LinkAddress> addresses;
    for (const NetlinkReply& reply : TRY(socket.dump(message, "list network addresses"))) {
        ifaddrmsg header{};
        std::vector<NetlinkAttribute> attributes;
        if (reply.type != RTM_NEWADDR || !split_reply(reply, header, attributes)) continue;
        LinkAddress address;
        address.link_index = static_cast<int32_t>(header.ifa_index);
        address.family = header.ifa_family;
        address.prefix_length = header.ifa_prefixlen;
        address.scope = header.ifa_scope;
        address.flags = header.ifa_flags;
        for (const NetlinkAttribute& attribute : attributes) {
            if (attribute.type == IFA_ADDRESS) address.address = std::string(attribute.value);
            if (attribute.type == IFA_LOCAL) address.local = std::string(attribute.value);
            if (attribute.type == IFA_BROADCAST) address.broadcast = std::string(attribute.value);
            if (attribute.type == IFA_FLAGS) address.flags = attribute.as_u32().value_or(0);
        }
        addresses.push_back(std::move(address));
    }
    return addresses;
}

Result<void> set_link_up(NetlinkSocket& socket, int32_t index) {
    return set_up(socket, index, true);
}

Result<void> add_address(NetlinkSocket& socket, const LinkAddress& address) {
    ifaddrmsg header{};
    header.ifa_family = address.family;
    header.ifa_prefixlen = address.prefix_length;
    header.ifa_scope = address.scope;
    header.ifa_index = static_cast<uint32_t>(address.link_index);
    NetlinkMessage message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    message.put(header);
    message.attribute(IFA_ADDRESS, address.address);
    if (!address.local.empty()) message.attribute(IFA_LOCAL, address.local);
    if (!address.broadcast.empty()) message.attribute(IFA_BROADCAST, address.broadcast);
    return socket.request(message, "add a network address");
}

Result<void> bring_loopback_up() {
    // netdevice(7): a socket of any kind, and two calls less than by netlink.
    const Fd socket{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    ifreq request{};
    std::memcpy(request.ifr_name, "lo", sizeof "lo");
    request.ifr_flags = IFF_UP;
    if (!socket || ::ioctl(socket.get(), SIOCSIFFLAGS, &request) < 0)
        return fail_errno(errno, "loopback: set interface lo up");
    return {};
}

namespace {

Result<void> change_namespace(NetlinkSocket& socket, const Link& link,
                              const MoveDeviceRequest& request) {
    NetlinkMessage message(RTM_NEWLINK, 0);
    message.put(link_header(link.index));
    message.attribute_u32(IFLA_NET_NS_FD, static_cast<uint32_t>(request.network_namespace));
    // The name is given always: a taken one is then EEXIST, and not replaced by another.
    message.attribute_string(IFLA_IFNAME,
                             request.new_name.empty() ? request.name : request.new_name);
    auto moved = socket.request(message, "move network interface " + quote(request.name));
    if (!moved && moved.error().sys_errno == EINVAL)
        return fail(std::move(moved).error().with_hint("interfaces of this kind cannot be moved"));
    return moved;
}

Result<void> set_up_inside(const MoveDeviceRequest& request,
                           const std::vector<LinkAddress>& addresses) {
    NetlinkSocket inside = TRY(NetlinkSocket::open_in(request.network_namespace));
    Link link = TRY(find_link(inside, request.new_name.empty() ? request.name : request.new_name));
    for (LinkAddress address : addresses) {
        address.link_index = link.index;
        TRY(add_address(inside, address));
    }
    return set_link_up(inside, link.index);
}

}  // namespace

Result<void> move_network_device(const MoveDeviceRequest& request) {
    std::string_view name = request.new_name.empty() ? request.name : request.new_name;
    if (name.size() >= IFNAMSIZ || name.find('/') != name.npos)
        return fail(Errc::invalid, "network interface name " + quote(name) +
                                       " has more than 15 characters or a slash");
    NetlinkSocket socket = TRY(NetlinkSocket::open());
    Link link = TRY(find_link(socket, request.name));
    std::vector<LinkAddress> kept;
    for (LinkAddress& address : TRY(list_addresses(socket)))
        if (address.link_index == link.index && address.scope == RT_SCOPE_UNIVERSE &&
            (address.flags & IFA_F_PERMANENT) != 0)
            kept.push_back(std::move(address));
    TRY(set_up(socket, link.index, false));  // an interface that is up cannot be renamed
    TRY(change_namespace(socket, link, request));
    return with_context(set_up_inside(request, kept), "network interface " + request.name);
}

}  // namespace hull::kernel
