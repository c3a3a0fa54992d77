#include <doctest/doctest.h>

#include "runtime/dbus.hpp"
#include "runtime/systemd_properties.hpp"
#include "runtime/systemd_scope.hpp"

using namespace hull;
using namespace hull::runtime;

namespace {

/// The value of an annotation as it goes over the wire, at an aligned place.
std::string marshalled(std::string_view name, std::string_view value) {
    auto property = parse_property_annotation(name, value);
    if (!property) return "refused";
    DbusWriter writer;
    property->put_value(writer);
    return property->name + " " + property->signature + " " + writer.bytes();
}

}  // namespace

TEST_CASE("a cgroup path of the systemd manager names slice, prefix and unit") {
    auto name = parse_systemd_cgroup_name("machine.slice:libpod:abc", "id", false);
    REQUIRE(name.has_value());
    CHECK(name->slice == "machine.slice");
    CHECK(name->unit() == "libpod-abc.scope");
    CHECK(parse_systemd_cgroup_name("::abc", "id", false)->unit() == "abc.scope");
    CHECK(parse_systemd_cgroup_name(":x:pod.slice", "id", true)->unit() == "pod.slice");
    auto standard = parse_systemd_cgroup_name("", "c1", false);
    REQUIRE(standard.has_value());
    CHECK(standard->slice == "system.slice");
    CHECK(standard->unit() == "hull-c1.scope");
    CHECK(parse_systemd_cgroup_name("", "c1", true)->slice == "user.slice");
    for (const char* bad :
         {"/a/b", "a:b", "a.slice:b:", "a:b:c", "a--b.slice:b:c", "a.slice:b:c/d", "a.slice:b:c d"})
        CHECK(parse_systemd_cgroup_name(bad, "id", false).error().code == Errc::invalid);
}

TEST_CASE("slices nest by the dashes in their names") {
    CHECK(expand_slice("machine.slice").value() == "/machine.slice");
    CHECK(expand_slice("a-b-c.slice").value() == "/a.slice/a-b.slice/a-b-c.slice");
    CHECK(expand_slice("-.slice").value() == "/");
    CHECK_FALSE(expand_slice("a").has_value());
    CHECK_FALSE(expand_slice("-a.slice").has_value());
    CHECK_FALSE(expand_slice("a/b.slice").has_value());
}

TEST_CASE("a message comes out of its bytes as it went in") {
    DbusWriter body;
    body.put_string("unit");
    body.put_bool(true);
    const size_t array = body.begin_array(8);
    body.align(8);
    body.put_uint64(7);
    body.end_array(array);
    const DbusMessage message{.type = DbusMessage::Type::call,
                              .serial = 3,
                              .path = "/a/b",
                              .interface = "x.y",
                              .member = "M",
                              .destination = "d.e",
                              .signature = "sbat",
                              .body = body.bytes()};
    const std::string bytes = encode_dbus_message(message);
    CHECK(dbus_message_size(bytes).value() == bytes.size());
    auto again = decode_dbus_message(bytes);
    REQUIRE(again.has_value());
    CHECK(again->path == "/a/b");
    CHECK(again->interface == "x.y");
    CHECK(again->destination == "d.e");
    CHECK(again->signature == "sbat");
    DbusReader reader(again->body);
    CHECK(reader.string() == "unit");
    CHECK(reader.uint32() == 1);
    CHECK(reader.uint32() == 8);
    CHECK(reader.uint64() == 7);
    CHECK(reader.is_good());
    CHECK(reader.at_end());
    CHECK(reader.uint32() == 0);
    CHECK_FALSE(reader.is_good());
}

TEST_CASE("bytes that are no message are refused, a part of one waits for more") {
    CHECK(dbus_message_size("l").value() == 0);
    CHECK(dbus_message_size(std::string("B\1\0\1", 4) + std::string(12, '\0')).error().code ==
          Errc::corrupt);
    CHECK_FALSE(dbus_message_size(std::string("l\1\0\1", 4) + std::string(12, '\xff')).has_value());
    const std::string bytes = encode_dbus_message({.serial = 1, .path = "/", .member = "M"});
    for (size_t size = 0; size < bytes.size(); ++size)
        CHECK_FALSE(decode_dbus_message(bytes.substr(0, size)).has_value());
}

TEST_CASE("annotations become properties of the right type") {
    using namespace std::string_literals;
    CHECK(marshalled("TimeoutStopUSec", "uint64 5") == "TimeoutStopUSec t \5\0\0\0\0\0\0\0"s);
    CHECK(marshalled("CPUAccounting", "true") == "CPUAccounting b \1\0\0\0"s);
    CHECK(marshalled("Abc", "-1") == "Abc i \xff\xff\xff\xff"s);
    CHECK(marshalled("CollectMode", "'inactive-or-failed'") ==
          "CollectMode s \x12\0\0\0inactive-or-failed\0"s);
    CHECK(marshalled("TimeoutStopSec", "1.5") == "TimeoutStopUSec t \x60\xe3\x16\0\0\0\0\0"s);
    CHECK(marshalled("After", "['a', 'b']") == "After as \x0e\0\0\0\1\0\0\0a\0\0\0\1\0\0\0b\0"s);
    CHECK(marshalled("After", "@as []") == "After as \0\0\0\0"s);
    for (const char* bad : {"", "uint64 x", "uint64 -1", "'open", "[1, 'a']", "true x", "byte 256"})
        CHECK(marshalled("Abc", bad) == "refused");
    CHECK(marshalled("a.b", "1") == "refused");
    CHECK(marshalled("ab", "1") == "refused");
    CHECK(marshalled("WaitSec", "'x'") == "refused");
}

TEST_CASE("resources become the properties of each cgroup version") {
    kernel::CgroupResources resources;
    resources.memory = {.limit = 100, .swap = 300};
    resources.cpu = {.shares = 1024, .quota = 50000, .cpus = "0-2,9"};
    resources.pids_limit = -1;
    auto names = [&](bool is_v2) {
        std::string text;
        const auto properties = resource_properties(resources, is_v2);
        REQUIRE(properties.has_value());
        for (const auto& property : *properties)
            text += property.name + ":" + property.signature + " ";
        return text;
    };
    CHECK(
        names(true) ==
        "MemoryMax:t MemorySwapMax:t CPUWeight:t CPUQuotaPerSecUSec:t AllowedCPUs:ay TasksMax:t ");
    CHECK(names(false) == "MemoryLimit:t CPUShares:t CPUQuotaPerSecUSec:t TasksMax:t ");
    CHECK(parse_cpu_list("0-2,9").value() == std::vector<uint8_t>{7, 2});
    for (const char* bad : {"", "a", "3-1", "0-99999", "1,"})
        CHECK_FALSE(parse_cpu_list(bad).has_value());
}

TEST_CASE("without a bus the answer names it and the way out") {
    setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
    unsetenv("DBUS_SESSION_BUS_ADDRESS");
    CHECK_FALSE(has_systemd(true));
    auto refused = stop_systemd_scope("x.scope", true);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().code == Errc::not_found);
    CHECK(refused.error().hint.find("cgroupfs") != std::string::npos);
}
