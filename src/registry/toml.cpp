#include "registry/toml.hpp"

#include <optional>

#include "base/text.hpp"

namespace hull::registry {
namespace {

constexpr int kMaxDepth = 32;

bool is_bare_key_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

void append_utf8(std::string& out, uint32_t code) {
    auto put = [&](uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (code < 0x80) {
        put(code);
    } else if (code < 0x800) {
        put(0xc0U | code >> 6U);
        put(0x80U | (code & 0x3fU));
    } else if (code < 0x10000) {
        put(0xe0U | code >> 12U);
        put(0x80U | (code >> 6U & 0x3fU));
        put(0x80U | (code & 0x3fU));
    } else {
        put(0xf0U | code >> 18U);
        put(0x80U | (code >> 12U & 0x3fU));
        put(0x80U | (code >> 6U & 0x3fU));
        put(0x80U | (code & 0x3fU));
    }
}

class Parser {
  public:
    Parser(std::string_view text, std::string_view what) : text_(text), what_(what) {}

    Result<TomlTable> run() {
        TomlTable root;
        TomlTable* current = &root;
        for (;;) {
            skip_to_content();
            if (at_end()) return root;
            if (peek() == '[')
                current = TRY(header(root));
            else
                TRY(assignment(*current));
            TRY(expect_line_end());
        }
    }

  private:
    bool at_end() const { return at_ >= text_.size(); }
    char peek(size_t ahead = 0) const {
        return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
    }
    bool take(std::string_view wanted) {
        if (text_.substr(at_, wanted.size()) != wanted) return false;
        for (size_t i = 0; i < wanted.size(); ++i)
            next();
        return true;
    }
    char next() {
        char c = text_[at_++];
        if (c == '\n') ++line_;
        return c;
    }
    tl::unexpected<Error> refuse(std::string_view why) const {
        return fail(Errc::invalid,
                    std::string{what_} + ":" + std::to_string(line_) + ": " + std::string{why});
    }
    void skip_blanks() {
        while (peek() == ' ' || peek() == '\t')
            next();
    }
    void skip_comment() {
        if (peek() != '#') return;
        while (!at_end() && peek() != '\n')
            next();
    }
    void skip_to_content() {
        for (;;) {
            while (!at_end() &&
                   (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n'))
                next();
            if (peek() != '#') return;
            skip_comment();
        }
    }
    Result<void> expect_line_end() {
        skip_blanks();
        skip_comment();
        if (peek() == '\r') next();
        if (!at_end() && peek() != '\n') return refuse("unexpected text at the end of the line");
        return {};
    }

    Result<std::string> key_part() {
        if (peek() == '"') return basic_string();
        if (peek() == '\'') return literal_string();
        std::string out;
        while (is_bare_key_char(peek()))
            out += next();
        if (out.empty()) return refuse("expected a key");
        return out;
    }

    Result<std::vector<std::string>> key() {
        std::vector<std::string> parts;
        for (;;) {
            skip_blanks();
            parts.push_back(TRY(key_part()));
            if (parts.size() > kMaxDepth) return refuse("a key of too many parts");
            skip_blanks();
            if (!take(".")) return parts;
        }
    }

    /// The table `name` of `parent`, made if missing; of an array of tables, its last one.
    Result<TomlTable*> descend(TomlTable& parent, const std::string& name) {
        auto [entry, made] = parent.try_emplace(name, TomlValue{TomlTable{}, line_});
        TomlValue& value = entry->second;
        if (value.is_closed) return refuse("key " + quote(name) + " can not be added to");
        if (auto* list = value.array()) {
            if (list->empty() || list->back().table() == nullptr)
                return refuse("key " + quote(name) + " is no table");
            return list->back().table();
        }
        if (value.table() == nullptr) return refuse("key " + quote(name) + " is no table");
        return value.table();
    }

    /// [a.b] or [[a.b]].
    Result<TomlTable*> header(TomlTable& root) {
        bool is_list = take("[[");
        if (!is_list) next();
        auto path = TRY(key());
        if (!take(is_list ? "]]" : "]")) return refuse("a table's header has no end");
        TomlTable* table = &root;
        for (size_t i = 0; i + 1 < path.size(); ++i)
            table = TRY(descend(*table, path[i]));
        if (!is_list) {
            table = TRY(descend(*table, path.back()));
            if (!seen_headers_.emplace(table, true).second)
                return refuse("table " + quote(join(path, ".")) + " is given twice");
            return table;
        }
        auto [entry, made] = table->try_emplace(path.back(), TomlValue{TomlArray{}, line_});
        auto* list = entry->second.array();
        if (list == nullptr || entry->second.is_closed)
            return refuse("key " + quote(path.back()) + " is no array of tables");
        list->push_back(TomlValue{TomlTable{}, line_});
        // Growing moved the tables: their addresses are no longer what was seen.
        seen_headers_.clear();
        return list->back().table();
    }

    Result<void> assignment(TomlTable& table) {
        auto path = TRY(key());
        if (!take("=")) return refuse("expected '=' after the key");
        skip_blanks();
        TomlTable* target = &table;
        for (size_t i = 0; i + 1 < path.size(); ++i)
            target = TRY(descend(*target, path[i]));
        TomlValue parsed = TRY(value(0));
        if (!target->emplace(path.back(), std::move(parsed)).second)
            return refuse("key " + quote(path.back()) + " is given twice");
        return {};
    }

    Result<TomlValue> value(int depth) {
        if (depth > kMaxDepth) return refuse("nested too deeply");
        int line = line_;
        char c = peek();
        if (c == '"') return TomlValue{TRY(any_basic_string()), line, true};
        if (c == '\'') return TomlValue{TRY(any_literal_string()), line, true};
        if (c == '[') return TomlValue{TRY(array(depth)), line, true};
        if (c == '{') return TomlValue{TRY(inline_table(depth)), line, true};
        std::string word;
        while (is_bare_key_char(peek()) || peek() == '+' || peek() == '.' || peek() == ':')
            word += next();
        if (word == "true") return TomlValue{true, line, true};
        if (word == "false") return TomlValue{false, line, true};
        std::string digits;
        for (char digit : word)
            if (digit != '_') digits += digit;
        if (digits.starts_with('+')) digits.erase(0, 1);
        if (auto number = parse_number<int64_t>(digits)) return TomlValue{*number, line, true};
        return refuse("expected a value, found " + quote(word.empty() ? std::string(1, c) : word));
    }

    Result<TomlArray> array(int depth) {
        next();  // '['
        TomlArray out;
        for (;;) {
            skip_to_content();
            if (take("]")) return out;
            out.push_back(TRY(value(depth + 1)));
            skip_to_content();
            if (take("]")) return out;
            if (!take(",")) return refuse("expected ',' or ']' in an array");
        }
    }

    Result<TomlTable> inline_table(int depth) {
        next();  // '{'
        TomlTable out;
        skip_blanks();
        if (take("}")) return out;
        for (;;) {
            auto path = TRY(key());
            if (!take("=")) return refuse("expected '=' after the key");
            skip_blanks();
            TomlTable* target = &out;
            for (size_t i = 0; i + 1 < path.size(); ++i)
                target = TRY(descend(*target, path[i]));
            if (!target->emplace(path.back(), TRY(value(depth + 1))).second)
                return refuse("key " + quote(path.back()) + " is given twice");
            skip_blanks();
            if (take("}")) return out;
            if (!take(",")) return refuse("expected ',' or '}' in an inline table");
        }
    }

    Result<std::string> any_basic_string() {
        if (!take("\"\"\"")) return basic_string();
        take("\r");
        take("\n");
        std::string out;
        for (;;) {
            if (at_end()) return refuse("a string has no end");
            if (take("\"\"\"")) return out;
            if (peek() == '\\')
                TRY(escape(out, true));
            else
                out += next();
        }
    }

    Result<std::string> any_literal_string() {
        if (!take("'''")) return literal_string();
        take("\r");
        take("\n");
        std::string out;
        for (;;) {
            if (at_end()) return refuse("a string has no end");
            if (take("'''")) return out;
            out += next();
        }
    }

    Result<std::string> basic_string() {
        next();
        std::string out;
        for (;;) {
            if (at_end() || peek() == '\n') return refuse("a string has no end");
            if (take("\"")) return out;
            if (peek() == '\\')
                TRY(escape(out, false));
            else
                out += next();
        }
    }

    Result<std::string> literal_string() {
        next();
        std::string out;
        for (;;) {
            if (at_end() || peek() == '\n') return refuse("a string has no end");
            if (take("'")) return out;
            out += next();
        }
    }

    Result<void> escape(std::string& out, bool may_fold) {
        next();  // the backslash
        constexpr std::string_view kNames = "btnfr\"\\e";
        constexpr std::string_view kValues = "\b\t\n\f\r\"\\\x1b";
        char c = at_end() ? '\0' : next();
        if (size_t known = kNames.find(c); c != '\0' && known != std::string_view::npos) {
            out += kValues[known];
            return {};
        }
        if (c == 'u' || c == 'U') {
            size_t digits = c == 'u' ? 4 : 8;
            auto code = parse_number<uint32_t>(text_.substr(at_, digits), 16);
            bool surrogate = code && *code >= 0xd800 && *code < 0xe000;
            if (!code || text_.size() - at_ < digits || surrogate || *code > 0x10ffff)
                return refuse("a bad \\u escape");
            at_ += digits;
            append_utf8(out, *code);
            return {};
        }
        if (may_fold && (c == '\n' || c == ' ' || c == '\t' || c == '\r')) {
            while (!at_end() &&
                   (peek() == ' ' || peek() == '\t' || peek() == '\r' || peek() == '\n'))
                next();
            return {};
        }
        return refuse("an unknown escape in a string");
    }

    std::string_view text_;
    std::string_view what_;
    size_t at_ = 0;
    int line_ = 1;
    std::map<const TomlTable*, bool> seen_headers_;
};

}  // namespace

Result<TomlTable> parse_toml(std::string_view text, std::string_view what) {
    if (!is_valid_utf8(text)) return fail(Errc::invalid, std::string{what} + ": is not UTF-8");
    return Parser{text, what}.run();
}

}  // namespace hull::registry
