#include "registry/challenge.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace hull::registry {
namespace {

constexpr size_t kMaxHeader = 16U << 10U;

bool is_token_char(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != '\0' && std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
}

bool is_token68_char(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
    return c != '\0' && std::string_view{"-._~+/"}.find(c) != std::string_view::npos;
}

std::string lower(std::string_view text) {
    std::string out{text};
    std::transform(out.begin(), out.end(), out.begin(), [](char c) {
        return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    });
    return out;
}

class Parser {
  public:
    explicit Parser(std::string_view text) : text_(text) {}

    Result<std::vector<Challenge>> run() {
        std::vector<Challenge> out;
        skip_separators();
        while (!at_end()) {
            out.push_back(TRY(challenge()));
            skip_separators();
        }
        return out;
    }

  private:
    bool at_end() const { return at_ >= text_.size(); }
    char peek() const { return at_end() ? '\0' : text_[at_]; }
    void skip_blanks() {
        while (!at_end() && (peek() == ' ' || peek() == '\t'))
            ++at_;
    }
    void skip_separators() {
        while (!at_end() && (peek() == ' ' || peek() == '\t' || peek() == ','))
            ++at_;
    }
    tl::unexpected<Error> refuse(std::string_view why) const {
        return fail(Errc::invalid, "WWW-Authenticate: " + std::string{why} + " at character " +
                                       std::to_string(at_ + 1));
    }

    std::string_view token() {
        size_t start = at_;
        while (!at_end() && is_token_char(peek()))
            ++at_;
        return text_.substr(start, at_ - start);
    }

    Result<std::string> quoted() {
        ++at_;  // the opening quote
        std::string out;
        while (!at_end() && peek() != '"') {
            if (peek() == '\\') ++at_;
            if (at_end()) break;
            out += text_[at_++];
        }
        if (at_end()) return refuse("a quoted value has no end");
        ++at_;
        return out;
    }

    Result<std::string> value() {
        if (peek() == '"') return quoted();
        auto plain = token();
        if (plain.empty()) return refuse("a parameter has no value");
        return std::string{plain};
    }

    /// True when a parameter ("name =") begins here, and not the next challenge's scheme.
    bool parameter_begins() {
        size_t start = at_;
        bool named = !token().empty();
        skip_blanks();
        bool found = named && peek() == '=';
        at_ = start;
        return found;
    }

    Result<void> parameter(Challenge& challenge) {
        std::string name = lower(token());
        skip_blanks();
        ++at_;  // '=', seen by parameter_begins()
        skip_blanks();
        std::string text = TRY(value());
        if (challenge.find(name)) return refuse("parameter " + quote(name) + " is given twice");
        challenge.parameters.emplace_back(std::move(name), std::move(text));
        return {};
    }

    /// token68 = 1*( ALPHA / DIGIT / "-._~+/" ) *"=", with nothing but a comma or the end behind.
    bool take_token68(Challenge& challenge) {
        size_t start = at_;
        while (!at_end() && is_token68_char(peek()))
            ++at_;
        size_t letters = at_;
        while (peek() == '=')
            ++at_;
        std::string_view whole = text_.substr(start, at_ - start);
        skip_blanks();
        if (letters == start || !(at_end() || peek() == ',')) {
            at_ = start;
            return false;
        }
        challenge.token68 = whole;
        return true;
    }

    Result<Challenge> challenge() {
        Challenge out;
        out.scheme = lower(token());
        if (out.scheme.empty()) return refuse("expected the name of a scheme");
        if (!at_end() && peek() != ' ' && peek() != '\t' && peek() != ',')
            return refuse("an unexpected character");
        skip_blanks();
        if (at_end() || peek() == ',') return out;
        if (take_token68(out)) return out;
        if (!parameter_begins()) return refuse("expected a parameter");
        for (;;) {
            TRY(parameter(out));
            skip_blanks();
            if (!at_end() && peek() != ',') return refuse("expected a comma");
            skip_separators();
            if (at_end() || !parameter_begins()) return out;
        }
    }

    std::string_view text_;
    size_t at_ = 0;
};

}  // namespace

std::optional<std::string> Challenge::find(std::string_view name) const {
    for (const auto& [key, value] : parameters)
        if (key == name) return value;
    return std::nullopt;
}

Result<std::vector<Challenge>> parse_challenges(std::string_view header) {
    if (header.size() > kMaxHeader)
        return fail(Errc::invalid,
                    "WWW-Authenticate: longer than " + std::to_string(kMaxHeader) + " bytes");
    return Parser{header}.run();
}

}  // namespace hull::registry
