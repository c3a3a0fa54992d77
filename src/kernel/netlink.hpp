#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// One rtnetlink request under construction: a header, a fixed part, attributes. netlink(7)
class NetlinkMessage {
  public:
    NetlinkMessage(uint16_t type, uint16_t flags);

    template <typename T>
    void put(const T& fixed) {
        put_bytes(std::string_view(reinterpret_cast<const char*>(&fixed), sizeof fixed));
    }
    void put_bytes(std::string_view bytes);
    void attribute(uint16_t type, std::string_view value);
    /// With the closing NUL.
    void attribute_string(uint16_t type, std::string_view value);
    void attribute_u32(uint16_t type, uint32_t value);
    /// An attribute that holds others: end_nested() with what this returned.
    size_t begin_nested(uint16_t type);
    void end_nested(size_t mark);

    /// The bytes with header length filled in.
    std::string finish(uint32_t sequence) const;

  private:
    std::string bytes_;
};

/// One attribute of an answer; `value` points into the answer.
struct NetlinkAttribute {
    uint16_t type = 0;
    std::string_view value;
    std::optional<uint32_t> as_u32() const;
    /// Without the closing NUL.
    std::string as_string() const;
};
/// Splits a run of attributes; what is cut short ends the list.
std::vector<NetlinkAttribute> parse_attributes(std::string_view bytes);

/// One message of an answer: type and everything after the header.
struct NetlinkReply {
    uint16_t type = 0;
    std::string payload;
};

/// A routing socket (NETLINK_ROUTE) of one network namespace.
class NetlinkSocket {
  public:
    /// In the calling process's network namespace.
    static Result<NetlinkSocket> open();
    /// In another one: the process, with one thread, is in there for the moment of the call.
    static Result<NetlinkSocket> open_in(int network_namespace);

    /// Sends with NLM_F_ACK and waits for the answer. `what` names the operation in the error.
    Result<void> request(const NetlinkMessage& message, std::string_view what);
    /// A dump (NLM_F_DUMP): all messages up to NLMSG_DONE.
    Result<std::vector<NetlinkReply>> dump(const NetlinkMessage& message, std::string_view what);

  private:
    explicit NetlinkSocket(Fd fd) : fd_(std::move(fd)) {}
    Result<void> send(const std::string& bytes, std::string_view what);
    Fd fd_;
    uint32_t sequence_ = 0;
};

/// A network interface.
struct Link {
    int32_t index = 0;
    std::string name;
    uint32_t flags = 0;  ///< IFF_UP …, netdevice(7)
    uint32_t mtu = 0;
};
/// An address on an interface.
struct LinkAddress {
    int32_t link_index = 0;
    uint8_t family = 0;  ///< AF_INET, AF_INET6
    uint8_t prefix_length = 0;
    uint8_t scope = 0;
    uint32_t flags = 0;     ///< IFA_F_PERMANENT …
    std::string address;    ///< 4 or 16 bytes
    std::string local;      ///< 4 or 16 bytes; empty: as `address`
    std::string broadcast;  ///< may be empty
};

Result<std::vector<Link>> list_links(NetlinkSocket& socket);
/// @errors not_found
Result<Link> find_link(NetlinkSocket& socket, std::string_view name);
Result<std::vector<LinkAddress>> list_addresses(NetlinkSocket& socket);
Result<void> set_link_up(NetlinkSocket& socket, int32_t index);
Result<void> add_address(NetlinkSocket& socket, const LinkAddress& address);

/// Sets "lo" of the calling process's network namespace up.
Result<void> bring_loopback_up();

/// linux.netDevices of the runtime-spec: moves a host interface into the container's network
/// namespace, keeping its permanent global addresses, and sets it up there.
struct MoveDeviceRequest {
    std::string name;            ///< in the calling process's network namespace
    std::string new_name;        ///< inside; empty: the same
    int network_namespace = -1;  ///< borrowed
};
/// @errors not_found: no such interface; exists: name is taken inside; unsupported: it cannot be
/// moved (lo, some bridges)
Result<void> move_network_device(const MoveDeviceRequest& request);

}  // namespace hull::kernel
