#include <algorithm>

#include "base/json_io.hpp"
#include "base/text.hpp"
#include "image/changes.hpp"

namespace hull::image {
namespace {

std::string upper(std::string_view text) {
    std::string out{text};
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    });
    return out;
}

/// ["a","b"] when it is that, else nullopt.
std::optional<std::vector<std::string>> json_list(std::string_view text) {
    if (!text.starts_with('[')) return std::nullopt;
    auto document = parse_json(text, "instruction");
    if (!document) return std::nullopt;
    auto list = JsonReader{*document, ""}.as_strings();
    return list ? std::optional{*list} : std::nullopt;
}

std::vector<std::string> command_form(std::string_view text) {
    if (auto list = json_list(text)) return *list;
    if (text.empty()) return {};
    return {"/bin/sh", "-c", std::string{text}};
}

/// Splits at blanks; quotes keep blanks together, a backslash the next character.
Result<std::vector<std::string>> words_of(std::string_view text) {
    std::vector<std::string> out;
    std::string word;
    bool in_word = false;
    char quote_char = '\0';
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '\\' && quote_char != '\'' && i + 1 < text.size()) {
            word += text[++i];
            in_word = true;
        } else if (quote_char != '\0') {
            if (c == quote_char)
                quote_char = '\0';
            else
                word += c;
        } else if (c == '"' || c == '\'') {
            quote_char = c;
            in_word = true;
        } else if (c == ' ' || c == '\t') {
            if (in_word) out.push_back(std::exchange(word, {}));
            in_word = false;
        } else {
            word += c;
            in_word = true;
        }
    }
    if (quote_char != '\0') return fail(Errc::invalid, "a quote is not closed");
    if (in_word) out.push_back(word);
    return out;
}

/// "A=1 B='x y'", or the old form "A rest of the line".
Result<std::vector<std::pair<std::string, std::string>>> pairs_of(std::string_view text) {
    std::vector<std::pair<std::string, std::string>> out;
    auto words = TRY(words_of(text));
    if (words.empty()) return fail(Errc::invalid, "needs NAME=VALUE");
    if (words.front().find('=') == std::string::npos) {
        size_t end = text.find_first_of(" \t");
        if (end == std::string_view::npos) return fail(Errc::invalid, "needs NAME=VALUE");
        out.emplace_back(std::string{text.substr(0, end)}, std::string{trim(text.substr(end))});
        return out;
    }
    for (const auto& word : words) {
        size_t equals = word.find('=');
        if (equals == 0 || equals == std::string::npos)
            return fail(Errc::invalid, quote(word) + " is not NAME=VALUE");
        out.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
    return out;
}

void set_env(std::vector<std::string>& env, const std::string& name, const std::string& value) {
    for (auto& entry : env)
        if (entry.starts_with(name + "=")) {
            entry = name + "=" + value;
            return;
        }
    env.push_back(name + "=" + value);
}

void add_once(std::vector<std::string>& list, std::string value) {
    if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(std::move(value));
}

Result<std::string> one_word(std::string_view rest) {
    auto words = TRY(words_of(rest));
    if (words.size() != 1) return fail(Errc::invalid, "needs exactly one argument");
    return words.front();
}

Result<void> change_lists(std::string_view name, std::string_view rest,
                          spec::ContainerDefaults& config) {
    if (name == "ENV") {
        for (const auto& [key, value] : TRY(pairs_of(rest)))
            set_env(config.env, key, value);
    } else if (name == "LABEL") {
        for (const auto& [key, value] : TRY(pairs_of(rest)))
            config.labels[key] = value;
    } else if (name == "EXPOSE") {
        for (auto& port : TRY(words_of(rest)))
            add_once(config.exposed_ports,
                     port.find('/') == std::string::npos ? port + "/tcp" : std::move(port));
    } else if (name == "VOLUME") {
        auto list = json_list(rest);
        for (auto& path : list ? *list : TRY(words_of(rest)))
            add_once(config.volumes, std::move(path));
    } else {
        return fail(Errc::invalid, "instruction " + quote(name) + " cannot be used here",
                    "one of CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, VOLUME, "
                    "WORKDIR, HEALTHCHECK NONE, SHELL, ONBUILD");
    }
    return {};
}

}  // namespace

Result<void> apply_change(std::string_view instruction, spec::ContainerDefaults& config) {
    instruction = trim(instruction);
    size_t end = instruction.find_first_of(" \t=");
    std::string name = upper(instruction.substr(0, end));
    // podman's form "CMD=…" is taken as well.
    std::string_view rest =
        end == std::string_view::npos ? std::string_view{} : trim(instruction.substr(end + 1));
    auto change = [&]() -> Result<void> {
        if (name == "CMD") {
            config.cmd = command_form(rest);
        } else if (name == "ENTRYPOINT") {
            config.entrypoint = command_form(rest);
        } else if (name == "USER") {
            config.user = TRY(one_word(rest));
        } else if (name == "WORKDIR") {
            config.working_dir = TRY(one_word(rest));
        } else if (name == "STOPSIGNAL") {
            config.stop_signal = TRY(one_word(rest));
        } else if (name == "ONBUILD") {
            config.on_build.emplace_back(rest);
        } else if (name == "SHELL") {
            auto list = json_list(rest);
            if (!list) return fail(Errc::invalid, "needs the JSON form, [\"sh\",\"-c\"]");
            config.shell = *list;
        } else if (name == "HEALTHCHECK" && upper(rest) == "NONE") {
            config.health_check = spec::HealthCheck{{"NONE"}};
        } else {
            return change_lists(name, rest, config);
        }
        return {};
    };
    return with_context(change(), quote(instruction));
}

}  // namespace hull::image
