#include <chrono>
#include <cstdlib>

#include <doctest/doctest.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "monitor/log_file.hpp"
#include "temporary_folder.hpp"

using namespace hull;
using namespace hull::monitor;

namespace {

const auto kNoon = std::chrono::system_clock::time_point(std::chrono::hours(12));

std::vector<LogRecord> records_of(const std::string& path) {
    std::vector<LogRecord> out;
    std::string text = read_file(path).value();
    for (auto line : split_lines(text))
        if (!line.empty()) out.push_back(parse_log_record(line).value());
    return out;
}

}  // namespace

TEST_CASE("a log record survives the way through its line") {
    for (std::string text :
         {"plain\n", "tab\tquote\"back\\slash\n", "grüße ✓ 𝄞\n", "\x01\x1b[0m\r\n", "no end"}) {
        std::string line;
        format_log_record(line, {Stream::err, text, "1970-01-01T12:00:00.000000000Z"});
        CHECK(line.find('\n') == line.size() - 1);
        auto record = parse_log_record(std::string_view(line).substr(0, line.size() - 1));
        REQUIRE(record);
        CHECK(record->text == text);
        CHECK(record->stream == Stream::err);
    }
}

TEST_CASE("bytes that are no UTF-8 become replacement characters") {
    std::string line;
    format_log_record(line, {Stream::out, "a\xff\xc3(\xed\xa0\x80", "t"});
    CHECK(line.find("a\xef\xbf\xbd\xef\xbf\xbd(") != std::string::npos);
    CHECK(parse_log_record(trim(line)));
}

TEST_CASE("lines are whole records, and one without an end comes with the flush") {
    TemporaryFolder folder;
    auto log = LogFile::create({folder.path + "/log", 0, 1});
    REQUIRE(log);
    log->append(Stream::out, "one\ntw", kNoon);
    log->append(Stream::err, "oops\n", kNoon);
    log->append(Stream::out, "o\nthree", kNoon);
    CHECK(records_of(folder.path + "/log").size() == 3);
    log->flush(kNoon);
    auto records = records_of(folder.path + "/log");
    REQUIRE(records.size() == 4);
    CHECK(records[0].text == "one\n");
    CHECK(records[1].stream == Stream::err);
    CHECK(records[2].text == "two\n");
    CHECK(records[3].text == "three");
}

TEST_CASE("a very long line is cut into records of 16 KiB") {
    TemporaryFolder folder;
    auto log = LogFile::create({folder.path + "/log", 0, 1});
    REQUIRE(log);
    log->append(Stream::out, std::string(40000, 'x') + "\n", kNoon);
    auto records = records_of(folder.path + "/log");
    REQUIRE(records.size() == 3);
    CHECK(records[0].text.size() == 16384);
    CHECK(records[2].text.back() == '\n');
    CHECK(records[0].text.size() + records[1].text.size() + records[2].text.size() == 40001);
}

TEST_CASE("a full log file is rotated, and only so many are kept") {
    TemporaryFolder folder;
    std::string path = folder.path + "/log";
    auto log = LogFile::create({path, 300, 3});
    REQUIRE(log);
    for (int i = 0; i < 20; i++)
        log->append(Stream::out, "line " + std::to_string(i) + " " + std::string(50, '.') + "\n",
                    kNoon);
    CHECK(path_exists(path + ".1"));
    CHECK(path_exists(path + ".2"));
    CHECK_FALSE(path_exists(path + ".3"));
    for (const auto& file : {path, path + ".1", path + ".2"})
        CHECK(read_file(file)->size() <= 300);
    CHECK(records_of(path).back().text.starts_with("line 19"));
}

TEST_CASE("what is no log record is corrupt, not a crash") {
    for (const char* bad : {"", "{", "{}", "[]", R"({"log":1,"stream":"stdout","time":"t"})",
                            R"({"log":"x","stream":"stdin","time":"t"})"})
        CHECK(parse_log_record(bad).error().code == Errc::corrupt);
}
