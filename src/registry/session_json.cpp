#include <algorithm>

#include "base/base64.hpp"
#include "base/json_io.hpp"
#include "base/text.hpp"
#include "registry/session.hpp"

namespace hull::registry {
namespace {

constexpr size_t kMaxErrorBody = 64U << 10U;
constexpr size_t kMaxTokenBody = 1U << 20U;
constexpr std::chrono::seconds kDefaultLife{60};  // the specification's, when none is told
constexpr std::chrono::seconds kSafetyMargin{5};

std::string basic(const Credential& credential) {
    return "Basic " + encode_base64(credential.username + ":" + credential.password);
}

Result<std::string> origin_of(const std::string& url) {
    UrlParts parts = TRY(parse_url(url));
    return parts.scheme + "://" + parts.authority;
}

std::string key_of(const Scopes& scopes) {
    return join(scopes, " ");
}

}  // namespace

std::string describe_error_body(const std::string& body) {
    auto document = parse_json(body, "answer");
    if (!document || !document->is_object()) return {};
    JsonReader reader{*document, ""};
    auto errors = reader.find("errors");
    auto list = errors ? errors->elements() : Result<std::vector<JsonReader>>{};
    std::string code;
    std::string message;
    if (list && !list->empty() && list->front().json().is_object()) {
        (void)list->front().read("code", code);
        (void)list->front().read("message", message);
    } else {
        (void)reader.read("details", message);
        if (message.empty()) (void)reader.read("message", message);
    }
    std::string text = code.empty() || message.empty() ? code + message : code + ": " + message;
    if (text.size() > 300) text.resize(300);
    std::string shown = quote(text);
    return text.empty() ? "" : shown.substr(1, shown.size() - 2);
}

tl::unexpected<Error> Session::refused(const ResponseHead& head, const std::string& body) const {
    std::string reason = describe_error_body(body);
    std::string message = registry_ + " refuses access (status " + std::to_string(head.status) +
                          (reason.empty() ? "" : ", " + reason) + ")";
    std::string who = !credential_ ? "no credentials were given"
                      : credential_->username.empty()
                          ? "the stored token was not accepted"
                          : "the password of " + quote(credential_->username) + " was not accepted";
    if (head.status == 403) who = "this user may not do that";
    return fail(Errc::denied, message + ": " + who, "log in: hull login " + registry_);
}

Result<std::string> Session::authorization(const std::string& url, const Scopes& scopes) {
    std::lock_guard lock{mutex_};
    // An upload's Location may lie on another host.
    if (TRY(origin_of(url)) != origin_) return std::string{};
    if (way_ == Way::basic && credential_) return basic(*credential_);
    if (way_ != Way::bearer) return std::string{};
    auto& token = tokens_[key_of(scopes)];
    if (token.text.empty() || token.until < std::chrono::steady_clock::now())
        token = TRY(fetch_token(scopes));
    return "Bearer " + token.text;
}

Result<Session::Token> Session::fetch_token(const Scopes& scopes) {
    std::string query = service_.empty() ? "" : "service=" + url_escape(service_);
    auto add = [&](const std::string& name, const std::string& value) {
        query += (query.empty() ? "" : "&") + name + "=" + url_escape(value);
    };
    HttpRequest request;
    bool by_token = credential_ && !credential_->identity_token.empty();
    if (by_token) {
        add("grant_type", "refresh_token");
        add("refresh_token", credential_->identity_token);
        add("client_id", "hull");
        if (!scopes.empty()) add("scope", join(scopes, " "));
        request.method = "POST";
        request.url = realm_;
        request.headers.push_back({"Content-Type", "application/x-www-form-urlencoded"});
        request.body = query;
    } else {
        for (const auto& scope : scopes)
            add("scope", scope);
        if (credential_) {
            add("account", credential_->username);
            request.authorization = basic(*credential_);
        }
        request.url = realm_ + (realm_.find('?') == std::string::npos ? "?" : "&") + query;
    }
    auto answer = with_context(fetcher_->send(request, kMaxTokenBody), "ask for a token");
    if (!answer) return fail(std::move(answer).error());
    if (answer->head.status == 401 || answer->head.status == 403 || answer->head.status == 400)
        return refused(answer->head, answer->body);
    if (!answer->head.ok())
        return fail(Errc::io, "token server " + realm_ + " answered with status " +
                                  std::to_string(answer->head.status));
    Json document = TRY(parse_json(answer->body, "token answer of " + realm_));
    JsonReader reader{document, ""};
    TRY(reader.expect_object());
    Token token;
    TRY(reader.read("token", token.text));
    if (token.text.empty()) TRY(reader.read("access_token", token.text));
    bool printable = std::all_of(token.text.begin(), token.text.end(),
                                 [](char c) { return c > ' ' && c < 127; });
    if (token.text.empty() || !printable)
        return fail(Errc::corrupt, "token server " + realm_ + " gave no token");
    std::optional<int64_t> life;
    TRY(reader.read("expires_in", life));
    auto seconds =
        life && *life > 0 ? std::chrono::seconds{std::min<int64_t>(*life, 86400)} : kDefaultLife;
    token.until = std::chrono::steady_clock::now() + std::max(seconds - kSafetyMargin, seconds / 2);
    return token;
}

/// Reads the 401's challenges and decides how to answer.
Result<void> Session::learn(const ResponseHead& head, const std::string& used,
                            const Scopes& scopes) {
    std::lock_guard lock{mutex_};
    std::vector<Challenge> offered;
    for (const auto& line : head.all("WWW-Authenticate"))
        for (auto& challenge : TRY(with_context(parse_challenges(line), registry_)))
            offered.push_back(std::move(challenge));
    auto find = [&](std::string_view scheme) {
        return std::find_if(offered.begin(), offered.end(),
                            [&](const Challenge& one) { return one.scheme == scheme; });
    };
    if (auto bearer = find("bearer"); bearer != offered.end()) {
        auto realm = bearer->find("realm");
        if (!realm) return fail(Errc::corrupt, registry_ + ": a Bearer challenge without a realm");
        UrlParts from = TRY(parse_url(head.url));
        UrlParts to = TRY(with_context(parse_url(*realm), registry_ + " names a token server"));
        if (credential_ && from.scheme == "https" && to.scheme == "http")
            return fail(Errc::denied, registry_ + " wants the password sent to " + *realm +
                                          " over plain http: refused");
        // A token that is refused is dropped, so that the next one is fresh.
        auto& known = tokens_[key_of(scopes)];
        if ("Bearer " + known.text == used) known = {};
        realm_ = *realm;
        service_ = bearer->find("service").value_or("");
        way_ = Way::bearer;
        return {};
    }
    if (find("basic") != offered.end() && credential_ && credential_->identity_token.empty()) {
        way_ = Way::basic;
        return {};
    }
    way_ = Way::none;
    return {};
}

Result<ResponseHead> Session::probe(const std::string& url) {
    HttpRequest request;
    request.url = url;
    origin_ = TRY(origin_of(url));
    HttpAnswer answer = TRY(fetcher_->send(request, kMaxErrorBody));
    if (answer.head.status == 401) TRY(learn(answer.head, "", {}));
    return answer.head;
}

Result<HttpStream> Session::open(HttpRequest request, const Scopes& scopes) {
    for (int attempt = 0;; ++attempt) {
        request.authorization = TRY(authorization(request.url, scopes));
        HttpStream stream = TRY(fetcher_->open(request));
        int status = stream.head().status;
        if (status != 401 && status != 403) return stream;
        auto body = stream.read_all(kMaxErrorBody);
        std::string text = body ? *body : "";
        if (status == 403 || attempt >= 2) return refused(stream.head(), text);
        TRY(learn(stream.head(), request.authorization, scopes));
        std::string next = TRY(authorization(request.url, scopes));
        if (next.empty() || next == request.authorization) return refused(stream.head(), text);
        // A streamed body is spent; Client::upload_blob has made sure of the token before.
        if (request.body_source) return refused(stream.head(), text);
    }
}

Result<HttpAnswer> Session::send(HttpRequest request, const Scopes& scopes, size_t body_limit) {
    for (int attempt = 1;; ++attempt) {
        HttpStream stream = TRY(open(request, scopes));
        auto body = stream.read_all(body_limit);
        if (body) return HttpAnswer{stream.head(), std::move(*body)};
        bool last = attempt >= fetcher_->policy().attempts || request.body_source;
        if (last || !is_transient(body.error())) return fail(std::move(body).error());
        TRY(fetcher_->pause(attempt));
    }
}

}  // namespace hull::registry
