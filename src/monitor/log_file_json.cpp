#include "base/json_io.hpp"
#include "base/text.hpp"
#include "monitor/log_file.hpp"

namespace hull::monitor {

Result<LogRecord> parse_log_record(std::string_view line) {
    auto json = parse_json(line, "log record");
    if (!json) return fail(Errc::corrupt, json.error().message);
    JsonReader reader(*json, "log record");
    LogRecord record;
    std::string stream;
    for (auto read : {reader.read("log", record.text), reader.read("stream", stream),
                      reader.read("time", record.time)})
        if (!read) return fail(Errc::corrupt, read.error().message);
    if (stream != "stdout" && stream != "stderr")
        return fail(Errc::corrupt, "log record: unknown stream " + quote(stream));
    record.stream = stream == "stdout" ? Stream::out : Stream::err;
    return record;
}

}  // namespace hull::monitor
