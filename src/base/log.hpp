#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace hull::log {

enum class Level { debug, info, warning, error };
enum class Format { text, json };

/// Where this process's records go. Set once at start; the default is warnings as text on stderr.
struct Settings {
    Level level = Level::warning;
    Format format = Format::text;
    int fd = 2;  ///< borrowed; stays open
    /// Called instead of writing, when set: jail's child sends its records to its parent.
    void (*sink)(Level level, std::string_view message) = nullptr;
};
void configure(const Settings& settings);
const Settings& settings();

struct Field {
    std::string_view key;
    std::string value;
};

/// One record, written with a single write(2). Never throws, never fails the caller.
/// Text: `time="…" level=warning msg="…" key="value"`; JSON: runc's
/// `{"level":"warning","msg":"…","time":"…"}`, which engines read.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void debug(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::debug, message, fields);
}
inline void info(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::info, message, fields);
}
inline void warning(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::warning, message, fields);
}
inline void error(std::string_view message, std::initializer_list<Field> fields = {}) {
    write(Level::error, message, fields);
}

/// "debug", "info", "warning" (or "warn"), "error".
Result<Level> parse_level(std::string_view name);
std::string_view level_name(Level level);

}  // namespace hull::log
