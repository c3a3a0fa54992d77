#include "base/log.hpp"

#include <unistd.h>

#include <chrono>

#include "base/text.hpp"
#include "base/units.hpp"

namespace hull::log {
namespace {

Settings current;

void append_json_string(std::string& out, std::string_view text) {
    bool valid = is_valid_utf8(text);
    out += '"';
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            out += '\\';
            out += c;
        } else if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !valid)) {
            out += "\\u00" + to_hex(std::string_view{&c, 1});
        } else {
            out += c;
        }
    }
    out += '"';
}

}  // namespace

void configure(const Settings& settings) {
    current = settings;
}
const Settings& settings() {
    return current;
}

std::string_view level_name(Level level) {
    switch (level) {
        case Level::debug:
            return "debug";
        case Level::info:
            return "info";
        case Level::warning:
            return "warning";
        case Level::error:
            return "error";
    }
    return "error";
}

Result<Level> parse_level(std::string_view name) {
    if (name == "debug" || name == "trace") return Level::debug;
    if (name == "info") return Level::info;
    if (name == "warning" || name == "warn") return Level::warning;
    if (name == "error" || name == "fatal" || name == "panic") return Level::error;
    return fail(Errc::invalid, "log level " + quote(name) + " is unknown",
                "use debug, info, warning or error");
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
    if (level < current.level) return;
    if (current.sink != nullptr) {
        std::string whole{message};
        for (const auto& field : fields)
            whole += " " + std::string{field.key} + "=" + quote(field.value);
        current.sink(level, whole);
        return;
    }
    std::string time = format_timestamp(std::chrono::system_clock::now());
    std::string line;
    if (current.format == Format::json) {
        line = "{\"level\":\"" + std::string{level_name(level)} + "\",\"msg\":";
        append_json_string(line, message);
        line += ",\"time\":\"" + time + '"';
        for (const auto& field : fields) {
            line += ',';
            append_json_string(line, field.key);
            line += ':';
            append_json_string(line, field.value);
        }
        line += "}\n";
    } else {
        line = "time=\"" + time + "\" level=" + std::string{level_name(level)} +
               " msg=" + quote(message);
        for (const auto& field : fields)
            line += " " + std::string{field.key} + "=" + quote(field.value);
        line += '\n';
    }
    // A log that cannot be written has nowhere to say so.
    (void)!::write(current.fd, line.data(), line.size());
}

}  // namespace hull::log
