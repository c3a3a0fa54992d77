#include <doctest/doctest.h>

#include "registry/registries_conf.hpp"
#include "registry/toml.hpp"

using namespace hull::registry;

TEST_CASE("strings of all kinds, numbers, arrays and inline tables are read") {
    auto table = parse_toml(
        "a = \"x\\n\\u00e9\"\nb = 'raw\\n'\nc = \"\"\"\none\n\\\n  two\"\"\"\n"
        "d = [1, 2_000, # comment\n -3,]\ne = {k = true, \"quoted.key\" = 'v'}\n"
        "f.g = false\n",
        "test");
    REQUIRE(table);
    CHECK(*table->at("a").string() == "x\n\xc3\xa9");
    CHECK(*table->at("b").string() == "raw\\n");
    CHECK(*table->at("c").string() == "one\ntwo");
    CHECK(table->at("d").array()->size() == 3);
    CHECK(*table->at("e").table()->at("quoted.key").string() == "v");
    CHECK(*table->at("f").table()->at("g").boolean() == false);
}

TEST_CASE("a mistake in TOML names file and line") {
    for (const char* bad :
         {"\na = \n", "\na = \"open\n", "\na = [1,\n", "\n[a\n", "\na 1\n", "\na = 1 b = 2\n",
          "\na = 1\na = 2\n", "\n[t]\n[t]\n", "\na = 2020-01-01\n", "\na = \"\\q\"\n", "\n= 1\n",
          "\na = {b = 1}\n[a.c]\n", "\na = \"\\ud800\"\n"}) {
        INFO(bad);
        auto table = parse_toml(bad, "file.conf");
        REQUIRE_FALSE(table);
        CHECK(table.error().code == hull::Errc::invalid);
        CHECK(table.error().message.starts_with("file.conf:"));
    }
    CHECK_FALSE(parse_toml("a = \xff", "file.conf"));
}

namespace {
RegistriesConf parse(const char* text) {
    auto conf = parse_registries_conf(text, "registries.conf");
    REQUIRE_MESSAGE(conf.has_value(), (conf ? "" : conf.error().to_string()));
    return *conf;
}
}  // namespace

TEST_CASE("mirrors come before the registry and rewrite the prefix") {
    auto conf = parse(R"(
[[registry]]
prefix = "docker.io/library"
location = "mirror.example/hub"
[[registry.mirror]]
location = "127.0.0.1:5000/cache"
insecure = true
[[registry.mirror]]
location = "pinned.example"
pull-from-mirror = "digest-only"
)");
    auto found = choose_sources(conf, "docker.io", "library/debian", false);
    REQUIRE(found);
    REQUIRE(found->size() == 2);
    CHECK((*found)[0].host == "127.0.0.1:5000");
    CHECK((*found)[0].repository == "cache/debian");
    CHECK((*found)[0].insecure);
    CHECK((*found)[0].is_mirror);
    CHECK((*found)[1].host == "mirror.example");
    CHECK((*found)[1].repository == "hub/debian");
    CHECK(choose_sources(conf, "docker.io", "library/debian", true)->size() == 3);
    CHECK(choose_sources(conf, "docker.io", "other/x", false)->front().host == "docker.io");
}

TEST_CASE("a prefix matches whole parts of a name only, and the longest wins") {
    auto conf = parse(R"(
[[registry]]
prefix = "a.example/team"
blocked = true
[[registry]]
prefix = "a.example/team/good"
[[registry]]
prefix = "*.b.example"
insecure = true
)");
    auto blocked = choose_sources(conf, "a.example", "team/x", false);
    REQUIRE_FALSE(blocked);
    CHECK(blocked.error().code == hull::Errc::denied);
    CHECK(choose_sources(conf, "a.example", "team/good/x", false));
    CHECK(choose_sources(conf, "a.example", "teammate/x", false));
    CHECK(conf.is_insecure("x.b.example"));
    CHECK(conf.is_insecure("x.b.example:5000/y"));
    CHECK_FALSE(conf.is_insecure("b.example"));
    CHECK_FALSE(conf.is_insecure("xb.example"));
}

TEST_CASE("aliases, search registries and the first version of the format are read") {
    auto conf = parse(R"(
unqualified-search-registries = ["127.0.0.1:5000", "docker.io"]
short-name-mode = "enforcing"
[aliases]
"debian" = "docker.io/library/debian"
)");
    CHECK(conf.search_registries.size() == 2);
    CHECK(conf.aliases.at("debian") == "docker.io/library/debian");
    auto old = parse(
        "[registries.search]\nregistries = ['a.example']\n[registries.insecure]\n"
        "registries = ['b.example:5000']\n[registries.block]\nregistries = ['c']\n");
    CHECK(old.search_registries == std::vector<std::string>{"a.example"});
    CHECK(old.is_insecure("b.example:5000"));
    CHECK_FALSE(choose_sources(old, "c", "x", false));
}

TEST_CASE("a wrong registries.conf says which key is wrong") {
    auto wrong = parse_registries_conf("[[registry]]\nlocation = 5\n", "r.conf");
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().message == "r.conf:2: location must be a string");
    CHECK_FALSE(parse_registries_conf("[[registry]]\nlocation = 'https://a'\n", "r.conf"));
    CHECK_FALSE(parse_registries_conf("[[registry]]\ninsecure = true\n", "r.conf"));
    CHECK_FALSE(parse_registries_conf("[registry]\nlocation = 'a'\n", "r.conf"));
    CHECK_FALSE(parse_registries_conf(
        "unqualified-search-registries = []\n[registries.search]\nregistries = []\n", "r.conf"));
}
