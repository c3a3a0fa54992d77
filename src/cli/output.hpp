#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace hull::cli {

/// Prints to stdout; what cannot be written is not our failure. On a terminal nothing in the text
/// can steer that.
void print(std::string_view text);
/// "hull: …" on stderr, one line.
void print_error(const Error& error);
void print_warning(std::string_view text);

/// Rows of `ps` and its like: every column has the name that --format uses and a heading.
struct Column {
    std::string name;      ///< "Names"
    std::string heading;   ///< "NAMES"
    bool in_table = true;  ///< shown without --format
};
struct Table {
    std::vector<Column> columns;
    std::vector<std::vector<std::string>> rows;
};
/// @param format  "" or "table", "json" (one object on each line), a template with {{.Name}}, or
/// "table " and such a template
/// @errors invalid: a column that there is not
Result<std::string> format_table(const Table& table, const std::string& format);

/// Fills {{.A.B}} and {{json .A}} of a template from a JSON document.
/// @errors invalid: a field that there is not, or a form of template that hull does not have
Result<std::string> format_json_template(std::string_view json, const std::string& text);

/// "3 minutes ago", from RFC 3339; empty for empty.
std::string time_ago(const std::string& timestamp);

}  // namespace hull::cli
