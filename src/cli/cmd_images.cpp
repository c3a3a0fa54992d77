// images, volume ls, export, and what hull-image does.

#include <optional>

#include "base/text.hpp"
#include "base/units.hpp"
#include "cli/output.hpp"
#include "cli/verbs.hpp"
#include "engine/engine.hpp"
#include "engine/image_tool.hpp"
#include "spec/reference.hpp"

namespace hull::cli {

using engine::Engine;

namespace {

struct ImageName {
    std::string repository = "<none>";
    std::string tag = "<none>";
};

/// "debian" and "12" as people see docker.io/library/debian:12.
ImageName split_name(const std::string& name) {
    auto reference = spec::parse_reference(name);
    if (!reference) return {name, "<none>"};
    ImageName out;
    std::string tag = reference->tag;
    reference->digest.reset();
    reference->tag.clear();
    out.repository = reference->familiar();
    if (!tag.empty()) out.tag = tag;
    return out;
}

/// "*" stands for anything.
bool matches_pattern(std::string_view text, std::string_view pattern) {
    if (pattern.empty()) return text.empty();
    if (pattern[0] == '*') {
        for (size_t i = 0; i <= text.size(); i++)
            if (matches_pattern(text.substr(i), pattern.substr(1))) return true;
        return false;
    }
    return !text.empty() && text[0] == pattern[0] &&
           matches_pattern(text.substr(1), pattern.substr(1));
}

Result<bool> is_wanted(const ImageName& name, const std::vector<std::string>& filters) {
    for (const auto& filter : filters) {
        if (!filter.starts_with("reference="))
            return fail(Errc::invalid, "--filter " + quote(filter) + " is not known",
                        "write reference=NAME, where * stands for anything");
        std::string pattern = filter.substr(10);
        if (!matches_pattern(name.repository, pattern) &&
            !matches_pattern(name.repository + ":" + name.tag, pattern))
            return false;
    }
    return true;
}

void add_rows(Table& table, const store::Image& image, const ImageName& name, bool whole) {
    table.rows.push_back({name.repository, name.tag, image.digest.to_string(),
                          whole ? image.id.to_string() : image.id.short_hex(),
                          time_ago(image.config.created), format_bytes(Bytes{image.size}),
                          image.config.created});
}

Result<std::string> list_images(Engine& engine, const ListWords& words) {
    Table table;
    table.columns = {{"Repository", "REPOSITORY"},        {"Tag", "TAG"},
                     {"Digest", "DIGEST", words.digests}, {"ID", "IMAGE ID"},
                     {"CreatedSince", "CREATED"},         {"Size", "SIZE"},
                     {"CreatedAt", "CREATED AT", false}};
    std::vector<std::string> ids;
    for (const auto& image : TRY(store::list_images(*TRY(engine.store())))) {
        std::vector<ImageName> names;
        for (const auto& name : image.names)
            names.push_back(split_name(name));
        if (names.empty()) names.emplace_back();
        for (const auto& name : names) {
            if (!TRY(is_wanted(name, words.filters))) continue;
            add_rows(table, image, name, words.no_truncate);
            ids.push_back(table.rows.back()[3]);
        }
    }
    if (!words.quiet) return format_table(table, words.format);
    std::string out;
    for (size_t i = 0; i < ids.size(); i++)
        if (i == 0 || ids[i] != ids[i - 1]) out += ids[i] + "\n";
    return out;
}

Result<std::string> list_volumes(Engine& engine, const ListWords& words) {
    Table table;
    table.columns = {{"Driver", "DRIVER"},
                     {"Name", "VOLUME NAME"},
                     {"Mountpoint", "MOUNTPOINT", false},
                     {"CreatedAt", "CREATED AT", false}};
    std::string names;
    for (const auto& volume : TRY(engine.database().list_volumes())) {
        names += volume.name + "\n";
        table.rows.push_back(
            {"local", volume.name, engine.settings().volume_path(volume.name), volume.created_at});
    }
    return words.quiet ? names : format_table(table, words.format);
}

int print_list(const GlobalWords& global, const ListWords& words,
               Result<std::string> (*list)(Engine&, const ListWords&)) {
    auto work = [&]() -> Result<std::string> {
        auto engine = TRY(Engine::open(global.settings));
        return list(engine, words);
    };
    auto text = work();
    if (!text) {
        print_error(text.error());
        return 1;
    }
    print(*text);
    return 0;
}

/// hull-image knows no names of containers: "container:web" of a diff becomes "container:ID".
Result<std::vector<std::string>> with_container_ids(const GlobalWords& global,
                                                    std::vector<std::string> args) {
    constexpr std::string_view kPrefix = "container:";
    if (args.empty() || args.front() != "diff") return args;
    std::optional<Engine> engine;
    for (auto& word : args) {
        if (!word.starts_with(kPrefix)) continue;
        if (!engine) engine.emplace(TRY(Engine::open(global.settings)));
        auto record = TRY(engine->database().find(word.substr(kPrefix.size())));
        word = std::string{kPrefix} + record.id;
    }
    return args;
}

}  // namespace

int cmd_export(const GlobalWords& global, const ExportWords& words) {
    auto find = [&]() -> Result<std::string> {
        auto engine = TRY(Engine::open(global.settings));
        return TRY(engine.database().find(words.container)).id;
    };
    auto id = find();
    if (id) return cmd_image_tool(global, {{"export", "-o", words.output, "container:" + *id}});
    print_error(id.error());
    return kHullFailed;
}

int cmd_images(const GlobalWords& global, const ListWords& words) {
    return print_list(global, words, list_images);
}

int cmd_volumes(const GlobalWords& global, const ListWords& words) {
    return print_list(global, words, list_volumes);
}

int cmd_image_tool(const GlobalWords& global, const ImageToolWords& words) {
    auto work = [&]() -> Result<int> {
        auto settings = TRY(engine::resolve_settings(global.settings));
        TRY(engine::prepare_roots(settings));
        auto args = TRY(with_container_ids(global, words.args));
        auto done = TRY(engine::run_image_tool(settings, {.args = std::move(args)}));
        if (!done.error.message.empty()) print_error(done.error);
        return done.exit_code;
    };
    auto code = work();
    if (code) return *code;
    print_error(code.error());
    return kHullFailed;
}

}  // namespace hull::cli
