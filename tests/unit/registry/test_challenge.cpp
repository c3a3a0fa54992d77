#include <doctest/doctest.h>

#include "registry/challenge.hpp"

using hull::registry::parse_challenges;

TEST_CASE("a bearer challenge gives realm, service and scope") {
    auto found = parse_challenges(
        R"(Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push")");
    REQUIRE(found);
    REQUIRE(found->size() == 1);
    CHECK(found->front().scheme == "bearer");
    CHECK(found->front().find("realm") == "https://auth.example/token");
    CHECK(found->front().find("service") == "registry");
    CHECK(found->front().find("scope") == "repository:a/b:pull,push");
    CHECK_FALSE(found->front().find("error"));
}

TEST_CASE("several challenges in one header are told apart") {
    auto found = parse_challenges(R"(Negotiate dG9rZW4=, Basic realm="a, b", Bearer realm=x)");
    REQUIRE(found);
    REQUIRE(found->size() == 3);
    CHECK((*found)[0].scheme == "negotiate");
    CHECK((*found)[0].token68 == "dG9rZW4=");
    CHECK((*found)[1].find("realm") == "a, b");
    CHECK((*found)[2].find("realm") == "x");
}

TEST_CASE("a scheme without parameters, blanks and empty list members are allowed") {
    auto found = parse_challenges(R"( , Negotiate , Basic  realm = "r" , )");
    REQUIRE(found);
    REQUIRE(found->size() == 2);
    CHECK((*found)[1].find("realm") == "r");
}

TEST_CASE("an escaped quote belongs to the value") {
    auto found = parse_challenges(R"(Basic realm="say \"hi\" \\")");
    REQUIRE(found);
    CHECK(found->front().find("realm") == R"(say "hi" \)");
}

TEST_CASE("what is not of the grammar is refused") {
    for (const char* bad :
         {R"(Bearer realm="open)", R"(Bearer realm="a" realm="b")", R"(Bearer realm="a",realm="b")",
          R"(Bearer realm=)", R"("quoted")", R"(Bearer =x)", R"(Basic realm="a"x)"}) {
        INFO(bad);
        auto found = parse_challenges(bad);
        // "realm=" alone is a token68, which carries no realm.
        if (found)
            CHECK_FALSE(found->front().find("realm"));
        else
            CHECK(found.error().code == hull::Errc::invalid);
    }
    CHECK_FALSE(parse_challenges(std::string(20000, 'a')));
}
