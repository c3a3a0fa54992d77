#include <doctest/doctest.h>

#include "image/changes.hpp"

using hull::image::apply_change;
using hull::spec::ContainerDefaults;

TEST_CASE("CMD and ENTRYPOINT take the JSON form, or become a shell's line") {
    ContainerDefaults config;
    REQUIRE(apply_change(R"(CMD ["a","b c"])", config));
    CHECK(config.cmd == std::vector<std::string>{"a", "b c"});
    REQUIRE(apply_change("entrypoint echo $HOME", config));
    CHECK(config.entrypoint == std::vector<std::string>{"/bin/sh", "-c", "echo $HOME"});
}

TEST_CASE("ENV replaces what is there, with quotes and the old form") {
    ContainerDefaults config;
    config.env = {"A=0"};
    REQUIRE(apply_change(R"(ENV A=1 B="x y" C=z\ w)", config));
    CHECK(config.env == std::vector<std::string>{"A=1", "B=x y", "C=z w"});
    REQUIRE(apply_change("ENV D the rest", config));
    CHECK(config.env.back() == "D=the rest");
}

TEST_CASE("the other instructions set their field") {
    ContainerDefaults config;
    for (const char* one : {"USER 1000:1000", "WORKDIR /srv", "EXPOSE 80 53/udp", "VOLUME /data",
                            "LABEL a=b", "STOPSIGNAL SIGINT", R"(SHELL ["/bin/bash","-c"])",
                            "ONBUILD RUN make", "HEALTHCHECK NONE"})
        REQUIRE(apply_change(one, config));
    CHECK(config.user == "1000:1000");
    CHECK(config.working_dir == "/srv");
    CHECK(config.exposed_ports == std::vector<std::string>{"80/tcp", "53/udp"});
    CHECK(config.volumes == std::vector<std::string>{"/data"});
    CHECK(config.labels.at("a") == "b");
    CHECK(config.stop_signal == "SIGINT");
    CHECK(config.shell.size() == 2);
    CHECK(config.on_build.front() == "RUN make");
    CHECK(config.health_check->test == std::vector<std::string>{"NONE"});
}

TEST_CASE("what cannot be changed or understood is refused by name") {
    ContainerDefaults config;
    for (const char* bad :
         {"RUN make", "FROM x", "", "USER a b", "ENV =1", "ENV", "SHELL sh", "LABEL a='b"}) {
        INFO(bad);
        auto done = apply_change(bad, config);
        REQUIRE_FALSE(done);
        CHECK(done.error().code == hull::Errc::invalid);
    }
}
