#include <doctest/doctest.h>

#include "runtime/intel_rdt.hpp"

using namespace hull;
using namespace hull::runtime;

TEST_CASE("schemata are written in the specification's order, and the class is the container's") {
    const spec::IntelRdt section{.schemata = {"L2:0=f"},
                                 .l3_cache_schema = "L3CODE:0=ff\nL3DATA:0=f0",
                                 .mem_bw_schema = "MB:0=20"};
    const auto request = resctrl_request(section, "c1");
    CHECK(request.name == "c1");
    CHECK_FALSE(request.is_shared);
    CHECK(request.monitor.empty());
    CHECK(request.schemata ==
          std::vector<std::string>{"L3CODE:0=ff", "L3DATA:0=f0", "MB:0=20", "L2:0=f"});
}

TEST_CASE("closID names a class that is shared; monitoring has the container's name") {
    const auto request = resctrl_request({.clos_id = "gold", .enable_monitoring = true}, "c1");
    CHECK(request.name == "gold");
    CHECK(request.is_shared);
    CHECK(request.monitor == "c1");
    CHECK(request.schemata.empty());
}

TEST_CASE("a machine without resctrl refuses the section as unsupported") {
    if (kernel::find_resctrl()) return;  // this one has it
    spec::RuntimeConfig config;
    ContainerState state{.id = "c1"};
    CHECK(plan_intel_rdt(config, state));
    config.linux_.intel_rdt.emplace();
    const auto refused = plan_intel_rdt(config, state);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::unsupported);
    CHECK(refused.error().to_string().find("linux.intelRdt") != std::string::npos);
}

TEST_CASE("statistics have runc's names") {
    JsonWriter out;
    out.begin_object();
    write_resctrl_stats(
        out, {.cache = {{.mask = "fffff", .least_bits = 2, .classes = 16}},
              .bandwidth = {{.granularity = 10, .linear = 1, .least = 10, .classes = 8}},
              .root_schemata = {"MB:0=100", "L3:0=fffff"},
              .schemata = {"MB:0=20", "L3:0=ff"},
              .monitors = {{.cache_bytes = 4096, .total_bytes = 7}, {.cache_bytes = 1}}});
    out.end_object();
    CHECK(
        out.take() ==
        R"({"l3_cache_info":{"cbm_mask":"fffff","min_cbm_bits":2,"num_closids":16},)"
        R"("l3_cache_schema_root":"L3:0=fffff","l3_cache_schema":"L3:0=ff",)"
        R"("mem_bw_info":{"bandwidth_gran":10,"delay_linear":1,"min_bandwidth":10,"num_closids":8},)"
        R"("mem_bw_schema_root":"MB:0=100","mem_bw_schema":"MB:0=20",)"
        R"("schemata":["MB:0=20","L3:0=ff"],)"
        R"("mbm_stats":[{"mbm_total_bytes":7,"mbm_local_bytes":0},)"
        R"({"mbm_total_bytes":0,"mbm_local_bytes":0}],)"
        R"("cmt_stats":[{"llc_occupancy":4096},{"llc_occupancy":1}]})");
}
