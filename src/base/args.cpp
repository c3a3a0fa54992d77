#include "base/args.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace hull {

bool ParsedArgs::has(std::string_view name) const {
    return find(name).has_value();
}

std::optional<std::string> ParsedArgs::find(std::string_view name) const {
    for (auto pair = values.rbegin(); pair != values.rend(); ++pair)
        if (pair->first == name) return pair->second;
    return std::nullopt;
}

std::string ParsedArgs::get(std::string_view name, std::string_view fallback) const {
    auto value = find(name);
    return value ? *value : std::string{fallback};
}

std::vector<std::string> ParsedArgs::all(std::string_view name) const {
    std::vector<std::string> out;
    for (const auto& [key, value] : values)
        if (key == name) out.push_back(value);
    return out;
}

namespace {

const OptionSpec* find_long(std::span<const OptionSpec> options, std::string_view name) {
    for (const auto& option : options)
        if (option.name == name) return &option;
    return nullptr;
}

const OptionSpec* find_short(std::span<const OptionSpec> options, char name) {
    for (const auto& option : options)
        if (option.short_name != 0 && option.short_name == name) return &option;
    return nullptr;
}

tl::unexpected<Error> unknown_option(std::string_view word, std::span<const OptionSpec> options) {
    std::vector<std::string> names;
    for (const auto& option : options)
        names.push_back("--" + std::string{option.name});
    auto near = closest_match(word, names);
    return fail(Errc::invalid, "unknown option " + std::string{word},
                near ? "did you mean " + *near + "?" : "see --help");
}

/// What a switch may be given as. @see Go's strconv.ParseBool; crun's exec.c, --tty
std::optional<bool> parse_switch(std::string_view text) {
    for (std::string_view word : {"true", "TRUE", "True", "1", "t", "T", "yes"})
        if (text == word) return true;
    for (std::string_view word : {"false", "FALSE", "False", "0", "f", "F", "no"})
        if (text == word) return false;
    return std::nullopt;
}

class Parser {
  public:
    Parser(std::span<const std::string> args, std::span<const OptionSpec> options)
        : args_(args), options_(options) {}

    Result<ParsedArgs> run(const ParseRules& rules) {
        while (next_ < args_.size()) {
            const std::string& word = args_[next_++];
            bool is_option = word.size() > 1 && word[0] == '-';
            if (word == "--") {
                take_rest();
            } else if (is_option) {
                TRY(word[1] == '-' ? take_long(word, 2) : take_short(word));
            } else {
                out_.positionals.push_back(word);
                if (rules.stop_after_positionals &&
                    out_.positionals.size() >= *rules.stop_after_positionals)
                    take_rest();
            }
        }
        return std::move(out_);
    }

  private:
    void take_rest() {
        while (next_ < args_.size())
            out_.positionals.push_back(args_[next_++]);
    }

    Result<std::string> value_for(const OptionSpec& option, std::optional<std::string> given) {
        if (given) return *given;
        if (next_ >= args_.size())
            return fail(
                Errc::invalid, "option --" + std::string{option.name} + " needs a value",
                "give it as --" + std::string{option.name} + " " + std::string{option.value_name});
        return args_[next_++];
    }

    Result<void> store(const OptionSpec& option, std::optional<std::string> given) {
        std::string name{option.name};
        if (!option.value_name.empty()) {
            out_.values.emplace_back(name, TRY(value_for(option, std::move(given))));
            return {};
        }
        const auto on = given ? parse_switch(*given) : true;
        if (!on)
            return fail(Errc::invalid,
                        "option --" + name + " takes no value, not " + quote(*given));
        if (*on)
            out_.values.emplace_back(name, "true");
        else
            std::erase_if(out_.values, [&](const auto& pair) { return pair.first == name; });
        return {};
    }

    Result<void> take_long(const std::string& word, size_t dashes) {
        size_t equals = word.find('=');
        std::string name =
            word.substr(dashes, equals == std::string::npos ? equals : equals - dashes);
        std::optional<std::string> given;
        if (equals != std::string::npos) given = word.substr(equals + 1);
        const OptionSpec* option = find_long(options_, name);
        if (option == nullptr) return unknown_option("--" + name, options_);
        return store(*option, std::move(given));
    }

    /// -x, -x VALUE, -xVALUE, -xyz for switches, and Go's -long.
    Result<void> take_short(const std::string& word) {
        std::string_view name = std::string_view{word}.substr(1, word.find('=') - 1);
        if (name.size() > 1 && find_long(options_, name) != nullptr) return take_long(word, 1);
        for (size_t i = 1; i < word.size(); ++i) {
            const OptionSpec* option = find_short(options_, word[i]);
            if (option == nullptr) return unknown_option(word, options_);
            if (option->value_name.empty()) {
                TRY(store(*option, std::nullopt));
                continue;
            }
            std::string rest = word.substr(i + 1);
            if (rest.starts_with('=')) rest.erase(0, 1);
            return store(*option, rest.empty() ? std::nullopt : std::optional{rest});
        }
        return {};
    }

    std::span<const std::string> args_;
    std::span<const OptionSpec> options_;
    size_t next_ = 0;
    ParsedArgs out_;
};

}  // namespace

Result<ParsedArgs> parse_args(std::span<const std::string> args,
                              std::span<const OptionSpec> options, ParseRules rules) {
    return Parser{args, options}.run(rules);
}

std::string format_usage(std::span<const OptionSpec> options) {
    std::string letters;
    std::string words;
    for (const auto& option : options) {
        if (option.help.empty()) continue;
        if (option.short_name != 0 && option.value_name.empty()) letters += option.short_name;
        words += " [--" + std::string{option.name};
        if (!option.value_name.empty()) words += " " + std::string{option.value_name};
        words += "]";
    }
    return letters.empty() ? words.substr(std::min<size_t>(1, words.size()))
                           : "[-" + letters + "]" + words;
}

std::string format_options(std::span<const OptionSpec> options) {
    std::vector<std::string> left;
    std::vector<std::string> help;
    size_t width = 0;
    for (const auto& option : options) {
        if (option.help.empty()) continue;
        std::string text =
            option.short_name != 0 ? "  -" + std::string{option.short_name} + ", --" : "      --";
        text += option.name;
        if (!option.value_name.empty()) text += " " + std::string{option.value_name};
        width = std::max(width, text.size());
        left.push_back(std::move(text));
        help.emplace_back(option.help);
    }
    std::string out;
    for (size_t i = 0; i < left.size(); ++i)
        out += left[i] + std::string(width - left[i].size() + 2, ' ') + help[i] + "\n";
    return out;
}

}  // namespace hull
