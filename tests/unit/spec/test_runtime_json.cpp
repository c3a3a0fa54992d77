#include <doctest/doctest.h>

#include "base/file.hpp"
#include "spec/runtime_json.hpp"
#include "spec/runtime_sections.hpp"

using namespace hull;
using namespace hull::spec;

namespace {

std::string everything() {
    auto text = read_file(std::string(HULL_TEST_DATA) + "/data/everything.json");
    REQUIRE(text);
    return *text;
}

std::string error_of(std::string_view text) {
    auto config = parse_runtime_config(text, "config.json");
    return config ? "" : config.error().to_string();
}

}  // namespace

TEST_CASE("every field of the specification is read") {
    auto parsed = parse_runtime_config(everything(), "config.json");
    REQUIRE_MESSAGE(parsed, parsed.error().to_string());
    const RuntimeConfig& config = *parsed;
    CHECK(config.root->readonly);
    CHECK(config.process->user.umask == 63U);
    CHECK(config.process->scheduler->deadline == 3000U);
    CHECK(config.process->io_priority->priority == 4);
    CHECK(config.process->exec_cpu_affinity->initial == "0-1");
    CHECK(config.process->console_size->width == 80);
    CHECK(config.mounts.at(0).uid_mappings.at(0).host_id == 1);
    CHECK(config.hooks.start_container.at(0).timeout == 3);
    CHECK(*config.find_annotation("a") == "b");
    CHECK(config.linux_.find_namespace("user")->path == "/x");
    CHECK(config.linux_.time_offsets.at(0).secs == -1);
    CHECK(config.linux_.net_devices.at(0).name == "e");
    CHECK(config.linux_.memory_policy->nodes == "0");
    CHECK(config.linux_.intel_rdt->enable_monitoring);
    CHECK(config.linux_.seccomp->syscalls.at(0).args.at(0).value_two == 2);
    const Resources& resources = config.linux_.resources;
    CHECK(resources.memory->swap == -1);
    CHECK(resources.cpu->quota == -1);
    CHECK(resources.pids_limit == 5);
    CHECK(resources.block_io->weight_devices.at(0).weight == 500);
    CHECK(resources.hugepage_limits.at(0).page_size == "2MB");
    CHECK(resources.network->class_id == 5U);
    CHECK(resources.rdma.at(0).hca_objects == 4U);
    CHECK(resources.unified.at(0).first == "memory.high");
}

TEST_CASE("what is written reads back as the same value") {
    auto config = parse_runtime_config(everything(), "config.json");
    REQUIRE(config);
    for (int indent : {-1, 4}) {
        auto again = parse_runtime_config(format_runtime_config(*config, indent), "again");
        REQUIRE_MESSAGE(again, again.error().to_string());
        CHECK(*again == *config);
    }
    auto process = parse_process(format_process(*config->process), "process.json");
    REQUIRE(process);
    CHECK(*process == *config->process);
}

TEST_CASE("an error names the field by its path") {
    CHECK(error_of(R"({"ociVersion":"1.0.0","linux":{"resources":{"memory":{"limit":"5"}}}})")
              .starts_with("linux.resources.memory.limit: must be a whole number"));
    CHECK(error_of(R"({"ociVersion":"1.0.0","mounts":[{"type":"x"}]})") ==
          "mounts[0].destination: is missing [config.md, Mounts]");
    CHECK(
        error_of(R"({"ociVersion":"1.0.0","linux":{"resources":{"blockIO":{"weight":70000}}}})") ==
        "linux.resources.blockIO.weight: is larger than 65535 [config-linux.md, Block IO]");
    CHECK(error_of("[]").find("must be an object") != std::string::npos);
    CHECK(error_of("{\n\"ociVersion\": }").find("line 2") != std::string::npos);
    CHECK(error_of(R"({"ociVersion":"1.0.0","ociVersion":"1.0.1"})").find("twice") !=
          std::string::npos);
}

TEST_CASE("all errors are found at once, and the first one says how many there are") {
    std::string_view text =
        R"({"ociVersion":5,"hostname":true,"process":{"cwd":"/","args":"x"},"mounts":{}})";
    std::vector<Error> errors;
    parse_runtime_config(text, "config.json", errors);
    CHECK(errors.size() == 4);
    CHECK(error_of(text).find("3 more") != std::string::npos);
}

TEST_CASE("unknown members are ignored and null is nothing") {
    auto config = parse_runtime_config(
        R"({"ociVersion":"1.0.0","x-new":{"a":1},"linux":{"resources":{"memory":null}}})", "c");
    REQUIRE(config);
    CHECK_FALSE(config->linux_.resources.memory.has_value());
}

TEST_CASE("a field's section is that of its longest known name") {
    CHECK(section_of("linux.resources.memory.limit") == "config-linux.md, Memory");
    CHECK(section_of("linux.resources.other") == "config-linux.md, Control groups");
    CHECK(section_of("mounts[3].options") == "config.md, Mounts");
    CHECK(section_of("processes").empty());
    CHECK(section_of("").empty());
}

TEST_CASE("properties that no part of the specification has are found with the nearest name") {
    const auto found = find_unknown_properties(
        R"({"ociVersion":"1.3.0","windows":{},"hostnme":"a","annotations":{"any":"x"},
            "process":{"cwd":"/","user":{"username":"u","umsk":5}},
            "mounts":[{"destination":"/a"},{"destination":"/b","sourc":"x"}],
            "linux":{"sysctl":{"a":"b"},"seccomp":{"defaultAction":"SCMP_ACT_LOG","action":"x",
            "syscalls":[{"names":["a"],"action":"SCMP_ACT_LOG","arg":[]}]}}})");
    std::vector<std::string> paths;
    for (const auto& one : found)
        paths.push_back(one.path);
    CHECK(paths == std::vector<std::string>{"hostnme", "linux.seccomp.action",
                                            "linux.seccomp.syscalls[0].arg", "mounts[1].sourc",
                                            "process.user.umsk"});
    CHECK(found[0].remedy == "did you mean hostname?");
    CHECK(find_unknown_properties("{").empty());
}
