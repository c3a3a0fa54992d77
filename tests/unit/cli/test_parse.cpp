#include <doctest/doctest.h>

#include "cli/options.hpp"
#include "cli/output.hpp"
#include "cli/parse.hpp"

using namespace hull;
using namespace hull::cli;

namespace {

using Args = std::vector<std::string>;

RunWords parse_run(Args args) {
    args.insert(args.begin(), "run");
    auto line = parse_command_line(args);
    REQUIRE_MESSAGE(line, line.error().to_string());
    return std::get<RunWords>(line->words);
}

}  // namespace

TEST_CASE("options after the image belong to the command") {
    auto words = parse_run({"--rm", "-it", "-e", "A=b c", "-eB=1", "--env", "C", "busybox", "ls",
                            "-l", "--rm", "--", "x"});
    CHECK(words.remove);
    CHECK(words.interactive);
    CHECK(words.terminal);
    CHECK(words.env == Args{"A=b c", "B=1", "C"});
    CHECK(words.image == "busybox");
    CHECK(words.command == Args{"ls", "-l", "--rm", "--", "x"});
}

TEST_CASE("-- ends the options") {
    auto words = parse_run({"--rm", "--", "-dash", "true"});
    CHECK(words.image == "-dash");
    CHECK(words.command == Args{"true"});
}

TEST_CASE("switches can be unset and negative numbers given") {
    auto words = parse_run({"--rm=false", "--pids-limit", "-1", "--sig-proxy=false", "busybox"});
    CHECK_FALSE(words.remove);
    CHECK(words.pids_limit == -1);
    CHECK(words.no_signal_proxy);
}

TEST_CASE("global options come before the command") {
    auto line = parse_command_line({"--root", "/a", "--runroot=/b", "ps", "-aq"});
    REQUIRE(line);
    CHECK(line->global.settings.root == "/a");
    CHECK(line->global.settings.run_root == "/b");
    CHECK(std::get<ListWords>(line->words).all);
    CHECK(std::get<ListWords>(line->words).quiet);
}

TEST_CASE("docker's long forms are the short ones") {
    CHECK(parse_command_line({"container", "ls", "-a"})->verb == "ps");
    CHECK(parse_command_line({"image", "rm", "x"})->verb == "rmi");
    CHECK(parse_command_line({"container", "start", "x"})->verb == "start");
    auto tool = parse_command_line({"image", "inspect", "--raw", "x"});
    REQUIRE(tool);
    CHECK(std::get<ImageToolWords>(tool->words).args == Args{"inspect", "--raw", "x"});
}

TEST_CASE("mistakes are one line that names them and what was meant") {
    auto verb = parse_command_line({"inspct"});
    REQUIRE_FALSE(verb);
    CHECK(verb.error().hint.find("hull inspect") != std::string::npos);
    auto option = parse_command_line({"run", "--nmae", "x", "busybox"});
    REQUIRE_FALSE(option);
    CHECK(option.error().message.find("--nmae") != std::string::npos);
    CHECK(option.error().hint.find("--name") != std::string::npos);
    for (const Args& bad : {Args{"run"}, Args{"exec", "c"}, Args{"logs", "a", "b"}, Args{"rm"},
                            Args{"--no-such"}, Args{"--root"}, Args{"run", "--name"}}) {
        auto line = parse_command_line(bad);
        REQUIRE_FALSE(line);
        CHECK(line.error().to_string().find('\n') == std::string::npos);
    }
}

TEST_CASE("help teaches by examples") {
    for (const char* verb : {"run", "exec", "ps", "logs", "stop", "rm", "inspect", "images"}) {
        auto line = parse_command_line({verb, "--help"});
        REQUIRE(line);
        auto text = std::get<PrintWords>(line->words).text;
        CHECK_MESSAGE(text.find("Examples:") != std::string::npos, verb);
        CHECK_MESSAGE(text.find("usage: hull") == 0, verb);
    }
}

TEST_CASE("moments of a log are written in docker's ways") {
    auto seconds = [](const std::string& text) {
        auto moment = parse_log_moment(text);
        REQUIRE_MESSAGE(moment, text);
        return std::chrono::duration<double>(moment->time_since_epoch()).count();
    };
    CHECK(seconds("2020-01-01T00:00:00Z") == 1577836800);
    CHECK(seconds("2020-01-01T01:00:00+01:00") == 1577836800);
    CHECK(seconds("1577836800") == 1577836800);
    CHECK(seconds("1577836800.5") == 1577836800.5);
    double day = seconds("2020-01-01");  // local time
    CHECK(seconds("2020-01-01T12") == day + 12 * 3600);
    CHECK(seconds("2020-01-01T12:30") == day + 12.5 * 3600);
    CHECK(seconds("2020-01-01T12:30:01") == day + 12.5 * 3600 + 1);
    for (const char* bad : {"", "yesterday", "2020-13-01", "2020-01-01x", "1577836800.x", "-5"})
        CHECK_FALSE_MESSAGE(parse_log_moment(bad), bad);
}

TEST_CASE("words become a request, and nonsense is refused by its option") {
    RunWords words;
    words.image = "busybox";
    words.memory = "512m";
    words.cpus = "1.5";
    words.cap_add = {"net_raw"};
    words.security = {"no-new-privileges=false", "apparmor=mine"};
    auto request = to_create_request(words);
    REQUIRE(request);
    CHECK(request->options.memory == 512U << 20U);
    CHECK(request->options.nano_cpus == 1'500'000'000);
    CHECK(request->options.cap_add == Args{"CAP_NET_RAW"});
    CHECK_FALSE(request->options.no_new_privileges);
    CHECK(request->options.apparmor_profile == "mine");
    auto refuse = [](auto change) {
        RunWords bad;
        bad.image = "busybox";
        change(bad);
        return !to_create_request(bad).has_value();
    };
    words.memory = words.cpus = "0";  // as docker: no limit
    CHECK(to_create_request(words).value().options.memory == 0);
    CHECK(to_create_request(words).value().options.nano_cpus == 0);
    CHECK(refuse([](RunWords& w) { w.memory = "lots"; }));
    CHECK(refuse([](RunWords& w) { w.memory = "10"; }));
    CHECK(refuse([](RunWords& w) { w.cpus = "-1"; }));
    CHECK(refuse([](RunWords& w) { w.cpus = "1.5.5"; }));
    CHECK(refuse([](RunWords& w) { w.network = "marsh"; }));
    CHECK(refuse([](RunWords& w) { w.working_dir = "relative"; }));
    CHECK(refuse([](RunWords& w) { w.security = {"label=x"}; }));
    CHECK(refuse([](RunWords& w) { w.cap_add = {"NET_ROW"}; }));
    CHECK(refuse([](RunWords& w) { w.ulimits = {"nofile=20:10"}; }));
    CHECK(refuse([](RunWords& w) { w.volumes = {"/a:/x", "/b:/x"}; }));
    CHECK(refuse([](RunWords& w) { w.pull = "sometimes"; }));
    CHECK(refuse([](RunWords& w) { w.stop_signal = "SIGWHAT"; }));
}

TEST_CASE("detach keys are letters and control keys") {
    CHECK(*parse_detach_keys("") == "\x10\x11");
    CHECK(*parse_detach_keys("ctrl-a,x") == "\x01x");
    CHECK_FALSE(parse_detach_keys("ctrl-ab"));
}

TEST_CASE("tables, JSON lines and templates show the same rows") {
    Table table;
    table.columns = {{"ID", "CONTAINER ID"}, {"Names", "NAMES"}, {"State", "STATE", false}};
    table.rows = {{"1", "one", "running"}, {"22", "two", "exited"}};
    CHECK(*format_table(table, "") ==
          "CONTAINER ID   NAMES\n1              one\n22             two\n");
    CHECK(*format_table(table, "{{.Names}} {{.State}}") == "one running\ntwo exited\n");
    CHECK(format_table(table, "json")->find("\"Names\":\"one\"") != std::string::npos);
    CHECK(format_table(table, "table {{.Names}}\\t{{.State}}")->starts_with("NAMES   STATE\n"));
    CHECK_FALSE(format_table(table, "{{.Nmaes}}"));
    CHECK_FALSE(format_table(table, "{{.Names"));
    CHECK(*format_json_template(R"({"State":{"Pid":7,"Status":"x"}})",
                                "{{.State.Status}} {{.State.Pid}} {{json .State}}") ==
          R"(x 7 {"Pid":7,"Status":"x"})");
}
