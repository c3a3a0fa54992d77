#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cstring>

#include <doctest/doctest.h>

#include "in_namespaces.hpp"
#include "kernel/netlink.hpp"

using namespace hull;
using namespace hull::kernel;

TEST_CASE("a routing message has its lengths, and its attributes are read back") {
    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE);
    message.put(ifinfomsg{});
    message.attribute_string(IFLA_IFNAME, "eth0");
    size_t nested = message.begin_nested(IFLA_LINKINFO);
    message.attribute_u32(IFLA_INFO_DATA, 7);
    message.end_nested(nested);
    std::string bytes = message.finish(9);
    nlmsghdr header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    CHECK(header.nlmsg_len == bytes.size());
    CHECK(header.nlmsg_seq == 9);
    auto attributes =
        parse_attributes(std::string_view(bytes).substr(sizeof header + sizeof(ifinfomsg)));
    REQUIRE(attributes.size() == 2);
    CHECK(attributes[0].as_string() == "eth0");
    auto inner = parse_attributes(attributes[1].value);
    REQUIRE(inner.size() == 1);
    CHECK(inner[0].as_u32() == 7U);
}

TEST_CASE("attributes that are cut short end the list") {
    CHECK(parse_attributes("").empty());
    CHECK(parse_attributes(std::string_view("\x08", 1)).empty());
    CHECK(parse_attributes(std::string_view("\xff\xff\x01\x00", 4)).empty());
    CHECK(parse_attributes(std::string_view("\x00\x00\x01\x00", 4)).empty());
}

TEST_CASE("loopback of a new network namespace comes up") {
    auto result = in_child(CLONE_NEWUSER | CLONE_NEWNET, []() -> Result<void> {
        NetlinkSocket socket = TRY(NetlinkSocket::open());
        EXPECT_IN_CHILD((TRY(find_link(socket, "lo")).flags & IFF_UP) == 0);
        TRY(bring_loopback_up());
        EXPECT_IN_CHILD((TRY(find_link(socket, "lo")).flags & IFF_UP) != 0);
        EXPECT_IN_CHILD(TRY(list_addresses(socket)).size() >= 1);
        EXPECT_IN_CHILD(find_link(socket, "none").error().code == Errc::not_found);
        return {};
    });
    if (!result && result.error().message.starts_with("clone a process")) {
        MESSAGE("skipped: " << result.error().to_string());
        return;
    }
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}

namespace {

/// A veth pair "first"/"second" in the present network namespace.
Result<void> make_veth(NetlinkSocket& socket) {
    NetlinkMessage message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    message.put(ifinfomsg{});
    message.attribute_string(IFLA_IFNAME, "first");
    size_t info = message.begin_nested(IFLA_LINKINFO);
    message.attribute_string(IFLA_INFO_KIND, "veth");
    size_t data = message.begin_nested(IFLA_INFO_DATA);
    size_t peer = message.begin_nested(1);  // VETH_INFO_PEER
    message.put(ifinfomsg{});
    message.attribute_string(IFLA_IFNAME, "second");
    message.end_nested(peer);
    message.end_nested(data);
    message.end_nested(info);
    return socket.request(message, "make a veth pair");
}

}  // namespace

TEST_CASE("an interface moves into a network namespace with its address, under a new name") {
    auto result = in_child(CLONE_NEWUSER | CLONE_NEWNET, []() -> Result<void> {
        NetlinkSocket socket = TRY(NetlinkSocket::open());
        TRY(make_veth(socket));
        Link second = TRY(find_link(socket, "second"));
        LinkAddress address;
        address.link_index = second.index;
        address.family = AF_INET;
        address.prefix_length = 24;
        address.address = address.local = std::string("\x0a\x01\x02\x03", 4);
        TRY(add_address(socket, address));
        Fd home = TRY(open_path("/proc/self/ns/net", O_RDONLY));
        TRY(unshare_namespaces(CLONE_NEWNET));
        Fd inside = TRY(open_path("/proc/self/ns/net", O_RDONLY));
        TRY(join_namespace(home.get(), NamespaceKind::network));
        TRY(move_network_device({"second", "eth0", inside.get()}));
        EXPECT_IN_CHILD(!find_link(socket, "second"));
        NetlinkSocket there = TRY(NetlinkSocket::open_in(inside.get()));
        Link moved = TRY(find_link(there, "eth0"));
        EXPECT_IN_CHILD((moved.flags & IFF_UP) != 0);
        bool found = false;
        for (const LinkAddress& kept : TRY(list_addresses(there)))
            found = found || (kept.link_index == moved.index && kept.local == address.local);
        EXPECT_IN_CHILD(found);
        auto missing = move_network_device({"nothing", "", inside.get()});
        EXPECT_IN_CHILD(!missing && missing.error().code == Errc::not_found);
        EXPECT_IN_CHILD(!move_network_device({"first", "a-name-that-is-long", inside.get()}));
        return {};
    });
    if (!result && result.error().message.starts_with("clone a process")) {
        MESSAGE("skipped: " << result.error().to_string());
        return;
    }
    CHECK_MESSAGE(result.has_value(), (result ? "" : result.error().to_string()));
}
