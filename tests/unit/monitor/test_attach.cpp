#include <doctest/doctest.h>

#include "monitor/attach.hpp"

using namespace hull;
using namespace hull::monitor;

TEST_CASE("frames come out as they went in, however the bytes are cut") {
    std::string stream = encode_frame(FrameType::stdin_data, "hello") +
                         encode_frame(FrameType::stdin_end) +
                         encode_frame(FrameType::stdout_data, std::string(1000, '\0'));
    for (size_t step : {size_t{1}, size_t{3}, size_t{7}, stream.size()}) {
        FrameReader reader;
        std::vector<Frame> frames;
        for (size_t i = 0; i < stream.size(); i += step) {
            reader.append(stream.substr(i, step));
            while (true) {
                auto frame = reader.next();
                REQUIRE(frame);
                if (!*frame) break;
                frames.push_back(**frame);
            }
        }
        REQUIRE(frames.size() == 3);
        CHECK(frames[0].type == FrameType::stdin_data);
        CHECK(frames[0].payload == "hello");
        CHECK(frames[1].type == FrameType::stdin_end);
        CHECK(frames[1].payload.empty());
        CHECK(frames[2].payload == std::string(1000, '\0'));
    }
}

TEST_CASE("an unknown frame type and an oversized frame are corrupt") {
    FrameReader unknown;
    unknown.append(std::string("\x7f\0\0\0\0", 5));
    CHECK(unknown.next().error().code == Errc::corrupt);
    FrameReader large;
    large.append(std::string("\x02\x7f\xff\xff\xff", 5));
    CHECK(large.next().error().code == Errc::corrupt);
}

TEST_CASE("a terminal size is two numbers and nothing else") {
    auto size = parse_size(encode_size({40, 100}));
    REQUIRE(size);
    CHECK(size->rows == 40);
    CHECK(size->columns == 100);
    for (const char* bad : {"", "40", "40 100 1", "-1 100", "70000 1", "40  100"})
        CHECK_FALSE(parse_size(bad));
}
