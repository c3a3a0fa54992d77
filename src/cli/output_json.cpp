#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "base/fd.hpp"
#include "base/json_io.hpp"
#include "base/printable.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "cli/output.hpp"

namespace hull::cli {
namespace {

/// Replaces every {{…}} of `text` by what `fill` gives for the words inside; \t and \n become tab
/// and newline, as docker does it.
Result<std::string> fill_template(
    const std::string& text, const std::function<Result<std::string>(std::string_view)>& fill) {
    std::string out;
    size_t position = 0;
    while (position < text.size()) {
        if (text.compare(position, 2, "{{") == 0) {
            size_t end = text.find("}}", position);
            if (end == std::string::npos)
                return fail(Errc::invalid, "--format " + quote(text) + " has {{ without }}");
            out += TRY(fill(trim(std::string_view(text).substr(position + 2, end - position - 2))));
            position = end + 2;
        } else if (text.compare(position, 2, "\\t") == 0 || text.compare(position, 2, "\\n") == 0) {
            out += text[position + 1] == 't' ? '\t' : '\n';
            position += 2;
        } else {
            out += text[position++];
        }
    }
    return out;
}

/// A cell of a table: its text may be an image's (commands, labels), and one row is one line.
std::string cell_text(std::string_view text) {
    std::string out = printable(text);
    std::ranges::replace(out, '\n', ' ');
    std::ranges::replace(out, '\t', ' ');
    return out;
}

std::string align(std::vector<std::vector<std::string>> lines) {
    for (auto& line : lines)
        for (auto& cell : line)
            cell = cell_text(cell);
    std::vector<size_t> widths;
    for (const auto& line : lines) {
        widths.resize(std::max(widths.size(), line.size()), 0);
        for (size_t i = 0; i < line.size(); i++)
            widths[i] = std::max(widths[i], line[i].size());
    }
    std::string out;
    for (const auto& line : lines) {
        for (size_t i = 0; i < line.size(); i++) {
            out += line[i];
            if (i + 1 < line.size()) out.append(widths[i] - line[i].size() + 3, ' ');
        }
        out += '\n';
    }
    return out;
}

Result<size_t> find_column(const Table& table, std::string_view name) {
    for (size_t i = 0; i < table.columns.size(); i++)
        if (table.columns[i].name == name) return i;
    std::vector<std::string> known;
    for (const auto& column : table.columns)
        known.push_back(column.name);
    return fail(Errc::invalid, "--format: there is no field " + quote(name),
                "fields are " + join(known, ", "));
}

std::string json_row(const Table& table, const std::vector<std::string>& row) {
    Json out;
    for (size_t i = 0; i < row.size(); i++)
        out[table.columns[i].name] = row[i];
    return dump_json(out);
}

Result<std::string> fill_row(const Table& table, const std::vector<std::string>& row,
                             const std::string& text) {
    return fill_template(text, [&](std::string_view words) -> Result<std::string> {
        if (words == "json .") return json_row(table, row);
        if (words.starts_with("json .")) words.remove_prefix(5);
        if (!words.starts_with('.'))
            return fail(Errc::invalid, "--format: {{" + std::string(words) + "}} is not known",
                        "write {{.Field}} or {{json .}}");
        return row[TRY(find_column(table, words.substr(1)))];
    });
}

std::string whole_table(const Table& table) {
    std::vector<std::vector<std::string>> lines(1);
    for (const auto& column : table.columns)
        if (column.in_table) lines[0].push_back(column.heading);
    for (const auto& row : table.rows) {
        std::vector<std::string> line;
        for (size_t i = 0; i < row.size(); i++)
            if (table.columns[i].in_table) line.push_back(row[i]);
        lines.push_back(std::move(line));
    }
    return align(std::move(lines));
}

/// "table {{.Names}}\t{{.State}}": with headings, aligned.
Result<std::string> chosen_table(const Table& table, const std::string& text) {
    std::vector<std::string> headings;
    for (const auto& column : table.columns)
        headings.push_back(column.heading);
    std::vector<std::vector<std::string>> lines;
    auto add = [&](const std::vector<std::string>& row) -> Result<void> {
        std::string filled = TRY(fill_row(table, row, text));
        std::vector<std::string> cells;
        for (auto cell : split(filled, '\t'))
            cells.emplace_back(cell);
        lines.push_back(std::move(cells));
        return {};
    };
    TRY(add(headings));
    for (const auto& row : table.rows)
        TRY(add(row));
    return align(std::move(lines));
}

}  // namespace

void print(std::string_view text) {
    (void)write_all(1, ::isatty(1) == 1 ? printable(text) : text);
}

void print_error(const Error& error) {
    (void)write_all(2, "hull: " + error.to_string() + "\n");
}

void print_warning(std::string_view text) {
    (void)write_all(2, "hull: warning: " + printable(text) + "\n");
}

Result<std::string> format_table(const Table& table, const std::string& format) {
    if (format.empty() || format == "table") return whole_table(table);
    if (format.starts_with("table ")) return chosen_table(table, format.substr(6));
    std::string out;
    for (const auto& row : table.rows)
        out += (format == "json" ? json_row(table, row) : TRY(fill_row(table, row, format))) + "\n";
    return out;
}

Result<std::string> format_json_template(std::string_view json, const std::string& text) {
    Json document = TRY(parse_json(json, "document"));
    if (text == "json") return dump_json(document);
    return fill_template(text, [&](std::string_view words) -> Result<std::string> {
        bool as_json = words.starts_with("json ");
        std::string_view path = trim(as_json ? words.substr(5) : words);
        if (!path.starts_with('.'))
            return fail(Errc::invalid, "--format: {{" + std::string(words) + "}} is not known",
                        "write {{.Field}}, {{.Field.Part}} or {{json .Field}}");
        const Json* value = &document;
        for (auto part : split(path.substr(1), '.')) {
            if (part.empty()) continue;
            if (!value->is_object() || !value->contains(part))
                return fail(Errc::invalid, "--format: there is no field " + quote(path));
            value = &(*value)[std::string(part)];
        }
        return value->is_string() && !as_json ? value->get<std::string>() : dump_json(*value);
    });
}

std::string time_ago(const std::string& timestamp) {
    auto when = parse_timestamp(timestamp);
    if (!when) return {};
    auto passed = std::chrono::system_clock::now() - *when;
    auto seconds =
        std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(passed).count());
    struct Unit {
        int64_t seconds;
        const char* name;
    };
    constexpr Unit units[] = {{31'536'000, "year"}, {2'592'000, "month"}, {604'800, "week"},
                              {86'400, "day"},      {3'600, "hour"},      {60, "minute"}};
    for (const auto& unit : units) {
        int64_t count = seconds / unit.seconds;
        if (count > 0)
            return std::to_string(count) + " " + unit.name + (count == 1 ? "" : "s") + " ago";
    }
    return seconds == 0 ? "just now"
                        : std::to_string(seconds) + (seconds == 1 ? " second ago" : " seconds ago");
}

}  // namespace hull::cli
