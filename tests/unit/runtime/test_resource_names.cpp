#include <doctest/doctest.h>

#include "runtime/resource_names.hpp"

namespace hull::runtime {

TEST_CASE("a cgroup file leads to the field that is written to it") {
    CHECK(resource_path("cpuset.cpus") == "linux.resources.cpu.cpus");
    CHECK(resource_path("memory.max") == "linux.resources.memory.limit");
    CHECK(resource_path("memory.memsw.limit_in_bytes") == "linux.resources.memory.swap");
    CHECK(resource_path("cpu.max") == "linux.resources.cpu.quota");
    CHECK(resource_path("cpu.max.burst") == "linux.resources.cpu.burst");
    CHECK(resource_path("blkio.bfq.weight") == "linux.resources.blockIO.weight");
    CHECK(resource_path("blkio.bfq.weight_device") == "linux.resources.blockIO.weightDevice");
    CHECK(resource_path("hugetlb.2MB.max") == "linux.resources.hugepageLimits");
    CHECK(resource_path("cgroup.procs") == "linux.resources");
}

TEST_CASE("an error of a cgroup file gets the JSON path, and others stay") {
    Error error = make_error(Errc::invalid, "write \"77\" to cgroup file cpuset.cpus");
    CHECK(name_resource(error).to_string().starts_with("linux.resources.cpu.cpus: write"));
    Error unified = make_error(Errc::invalid, "write \"1\" to cgroup file memory.high")
                        .with_context("unified resource");
    CHECK(name_resource(unified).to_string().starts_with("linux.resources.unified.memory.high: "));
    Error other = make_error(Errc::denied, "no cgroups here");
    CHECK(name_resource(other).to_string() == other.to_string());
}

}  // namespace hull::runtime
