#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "engine/apparmor.hpp"
#include "engine/bundle.hpp"
#include "engine/etc_files.hpp"
#include "engine/image_files.hpp"
#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"
#include "temporary_folder.hpp"

using namespace hull;
using namespace hull::engine;

namespace {

BundleInputs make_inputs() {
    BundleInputs inputs;
    inputs.id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    inputs.config.command = {"sh"};
    inputs.uid_mappings = {{0, 1000000, 65536}};
    inputs.gid_mappings = {{0, 1000000, 65536}};
    inputs.rootfs = "/run/hull/ID/rootfs";
    return inputs;
}

bool has(const std::vector<std::string>& list, std::string_view word) {
    return std::ranges::find(list, word) != list.end();
}

const spec::Mount& mount_at(const spec::RuntimeConfig& config, std::string_view target) {
    for (const auto& mount : config.mounts)
        if (mount.destination == target) return mount;
    FAIL("no mount at " << target);
    return config.mounts.front();
}

}  // namespace

TEST_CASE("the bundle of a container without options is the golden one") {
    auto config = make_bundle_config(make_inputs());
    REQUIRE(config);
    CHECK(spec::check_runtime_config(*config).empty());
    config->linux_.seccomp.reset();  // has a golden test of its own, in spec
    std::string path = HULL_TEST_DATA "/default_bundle.json";
    std::string text = spec::format_runtime_config(*config, 2) + "\n";
    if (::getenv("HULL_UPDATE_GOLDEN") != nullptr) REQUIRE(write_file_atomically(path, text));
    CHECK(read_file(path).value_or("") == text);
}

TEST_CASE("by default nothing is shared and few capabilities are left") {
    auto config = make_bundle_config(make_inputs());
    REQUIRE(config);
    for (const char* type : {"user", "mount", "pid", "network", "ipc", "uts", "cgroup"})
        CHECK(config->linux_.find_namespace(type) != nullptr);
    CHECK(config->process->no_new_privileges);
    CHECK(config->process->capabilities->bounding.size() <= 10);
    CHECK(config->process->capabilities->inheritable.empty());
    CHECK(config->process->capabilities->ambient.empty());
    CHECK(config->linux_.seccomp);
    CHECK(config->linux_.resources.pids_limit == 2048);
    CHECK(has(mount_at(*config, "/sys").options, "ro"));
    CHECK(has(mount_at(*config, "/sys/fs/cgroup").options, "ro"));
    CHECK(has(config->linux_.masked_paths, "/sys/firmware"));
}

TEST_CASE(
    "every container asks for the AppArmor profile but one that is to mount or is unconfined") {
    ContainerConfig config;
    CHECK(wanted_apparmor_profile(config) == kDefaultAppArmorProfile);
    config.cap_add = {"CAP_NET_ADMIN"};
    CHECK(wanted_apparmor_profile(config) == kDefaultAppArmorProfile);
    config.cap_add = {"CAP_SYS_ADMIN"};
    CHECK(wanted_apparmor_profile(config).empty());
    config.apparmor_profile = "mine";
    CHECK(wanted_apparmor_profile(config) == "mine");
    CHECK(effective_apparmor_profile(config) == "mine");  // left to the runtime to refuse
    config.privileged = true;
    CHECK(wanted_apparmor_profile(config).empty());
    config = {};
    config.apparmor_profile = "unconfined";
    CHECK(wanted_apparmor_profile(config).empty());
    CHECK(weakening_warnings(config).size() == 1);
}

TEST_CASE("the AppArmor profile is the process's, and exec has it as well") {
    auto inputs = make_inputs();
    CHECK(make_bundle_config(inputs)->process->apparmor_profile.empty());
    inputs.apparmor_profile = "hull-default";
    auto config = make_bundle_config(inputs);
    REQUIRE(config);
    CHECK(config->process->apparmor_profile == "hull-default");
    auto process = make_exec_process(*config->process, {.args = {"true"}});
    REQUIRE(process);
    CHECK(process->apparmor_profile == "hull-default");
}

TEST_CASE("a non-root user has no capabilities but those asked for by name") {
    auto inputs = make_inputs();
    inputs.user.uid = 1000;
    auto config = make_bundle_config(inputs);
    REQUIRE(config);
    CHECK(config->process->capabilities->effective.empty());
    CHECK(config->process->capabilities->permitted.empty());
    inputs.config.cap_add = {"CAP_NET_RAW"};
    config = make_bundle_config(inputs);
    REQUIRE(config);
    CHECK(config->process->capabilities->ambient == std::vector<std::string>{"CAP_NET_RAW"});
}

TEST_CASE("capabilities are dropped before they are added, and unknown ones are refused") {
    ContainerConfig config;
    config.cap_drop = {"ALL"};
    config.cap_add = {"CAP_CHOWN"};
    CHECK(*effective_capabilities(config) == std::vector<std::string>{"CAP_CHOWN"});
    config.cap_add = {"CAP_CHOWM"};
    auto refused = effective_capabilities(config);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().hint.find("CAP_CHOWN") != std::string::npos);
}

TEST_CASE("the host's network brings the host's sysfs, all of it read-only") {
    auto inputs = make_inputs();
    inputs.config.network = NetworkMode::host;
    auto config = make_bundle_config(inputs);
    REQUIRE(config);
    CHECK(config->linux_.find_namespace("network") == nullptr);
    CHECK(mount_at(*config, "/sys").type == "bind");
    CHECK(has(mount_at(*config, "/sys").options, "rro"));
    CHECK(config->linux_.sysctl.empty());
}

TEST_CASE("limits become resources, and none are written where there are no cgroups") {
    auto inputs = make_inputs();
    inputs.config.memory = 64U << 20U;
    inputs.config.nano_cpus = 1'500'000'000;
    auto config = make_bundle_config(inputs);
    REQUIRE(config);
    CHECK(config->linux_.resources.memory->limit == 64 << 20);
    CHECK(config->linux_.resources.memory->swap == 128 << 20);
    CHECK(config->linux_.resources.cpu->quota == 150000);
    inputs.has_cgroups = false;
    config = make_bundle_config(inputs);
    REQUIRE(config);
    CHECK(config->linux_.cgroups_path.empty());
    CHECK_FALSE(config->linux_.resources.memory);
}

TEST_CASE("the environment has the image's words, the user's home and the host name") {
    auto inputs = make_inputs();
    inputs.config.env = {"PATH=/only", "A=1"};
    inputs.config.terminal = true;
    inputs.user.home = "/home/user";
    auto config = make_bundle_config(inputs);
    REQUIRE(config);
    const auto& env = config->process->env;
    CHECK(has(env, "PATH=/only"));
    CHECK(has(env, "HOME=/home/user"));
    CHECK(has(env, "TERM=xterm"));
    CHECK(has(env, "HOSTNAME=0123456789ab"));
    CHECK(std::ranges::count_if(env, [](const auto& e) { return e.starts_with("PATH="); }) == 1);
}

TEST_CASE("exec has what the container has, and no capabilities for another user") {
    auto config = make_bundle_config(make_inputs());
    REQUIRE(config);
    ExecInputs inputs;
    inputs.args = {"id"};
    inputs.env = {"X=y"};
    auto same = make_exec_process(*config->process, inputs);
    REQUIRE(same);
    CHECK(same->capabilities->effective == config->process->capabilities->effective);
    CHECK(same->no_new_privileges);
    CHECK(has(same->env, "X=y"));
    inputs.is_other_user = true;
    inputs.user.uid = 1000;
    inputs.user.home = "/home/user";
    auto other = make_exec_process(*config->process, inputs);
    REQUIRE(other);
    CHECK(other->capabilities->effective.empty());
    CHECK(has(other->env, "HOME=/home/user"));
}

TEST_CASE("each weakening is warned of, the defaults are not") {
    ContainerConfig config;
    CHECK(weakening_warnings(config).empty());
    config.privileged = true;
    CHECK(weakening_warnings(config).size() == 1);
    config = {};
    config.cap_add = {"CAP_SYS_ADMIN", "CAP_CHOWN"};
    config.seccomp_unconfined = true;
    config.no_new_privileges = false;
    config.network = NetworkMode::host;
    config.pids_limit = -1;
    CHECK(weakening_warnings(config).size() == 5);
}

TEST_CASE("a configuration survives the way through the database") {
    ContainerConfig config;
    config.entrypoint = {"/bin/sh"};
    config.mounts = {{.kind = MountKind::tmpfs, .target = "/t", .tmpfs_mode = 0700}};
    config.ulimits = {{"nofile", 10, 20}};
    config.memory_swap = -1;
    config.labels = {{"a", "b"}};
    config.warnings = {"w"};
    auto back = parse_config(format_config(config));
    REQUIRE(back);
    CHECK(*back == config);
    CHECK(parse_config("{").error().code == Errc::corrupt);
}

TEST_CASE("resolv.conf leaves out name servers on the host's own loopback") {
    ContainerConfig config;
    std::string text = make_resolv_conf(
        config, "# host\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nsearch example.org\n");
    CHECK(text.find("127.0.0.53") == std::string::npos);
    CHECK(text.find("nameserver 192.0.2.1\n") != std::string::npos);
    CHECK(text.find("search example.org\n") != std::string::npos);
    config.network = NetworkMode::host;
    CHECK(make_resolv_conf(config, "nameserver 127.0.0.53\n") == "nameserver 127.0.0.53\n");
}

TEST_CASE("files are found through layers, links stay inside, whiteouts hide") {
    const TemporaryFolder folder;
    const std::string& root = folder.path;
    std::string top = root + "/top";
    std::string bottom = root + "/bottom";
    REQUIRE(create_directories(top + "/etc"));
    REQUIRE(create_directories(bottom + "/etc"));
    REQUIRE(create_directories(bottom + "/real"));
    REQUIRE(write_file_atomically(bottom + "/etc/passwd", "low"));
    REQUIRE(write_file_atomically(bottom + "/real/file", "linked"));
    REQUIRE(write_file_atomically(top + "/etc/group", "high"));
    REQUIRE(::symlink("/real/file", (top + "/etc/link").c_str()) == 0);
    REQUIRE(::symlink("../../../../../../etc/hostname", (top + "/etc/escape").c_str()) == 0);
    REQUIRE(::symlink("loop", (top + "/etc/loop").c_str()) == 0);
    auto view = LayerView::open({top, bottom, root + "/missing"});
    REQUIRE(view);
    CHECK(view->read_file("/etc/passwd")->value_or("") == "low");
    CHECK(view->read_file("etc/../etc/./group")->value_or("") == "high");
    CHECK(view->read_file("/etc/link")->value_or("") == "linked");
    CHECK_FALSE(view->read_file("/etc/escape")->has_value());
    CHECK_FALSE(view->read_file("/etc/loop")->has_value());
    CHECK_FALSE(view->read_file("/etc")->has_value());
    CHECK(view->read_file("/etc/passwd", 2).error().code == Errc::invalid);
}

TEST_CASE("a variable is set by its whole name, and only once") {
    CHECK(has_environment({"A=1"}, "A"));
    std::vector<std::string> env{"AB=1"};
    set_environment(env, "A=2");
    CHECK(env.size() == 2);
    set_environment(env, "A=3");
    CHECK(env.back() == "A=3");
}
