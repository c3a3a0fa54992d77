#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/json_io.hpp"
#include "base/text.hpp"
#include "image/archives.hpp"

namespace hull::image {

Result<std::vector<ArchiveImage>> parse_archive_manifest(std::string_view json) {
    Json document = TRY(parse_json(json, "manifest.json"));
    JsonReader reader{document, "manifest.json"};
    std::vector<ArchiveImage> out;
    for (const auto& element : TRY(reader.elements())) {
        TRY(element.expect_object());
        ArchiveImage image;
        image.config = TRY(TRY(element.require("Config")).as_string());
        TRY(element.read("Layers", image.layers));
        TRY(element.read("RepoTags", image.tags));
        out.push_back(std::move(image));
    }
    return out;
}

Result<std::string> docker_socket() {
    const char* given = std::getenv("DOCKER_HOST");
    std::string host = given != nullptr && *given != '\0' ? given : "unix:///var/run/docker.sock";
    if (!host.starts_with("unix://"))
        return fail(Errc::unsupported,
                    "DOCKER_HOST " + quote(host) + ": only unix:// is supported");
    return host.substr(7);
}

namespace {

/// {"message":"No such image"} of Docker's engine, else the body itself.
std::string docker_message(const std::string& body) {
    auto document = parse_json(body, "answer");
    std::string message;
    if (document && document->is_object()) (void)JsonReader{*document, ""}.read("message", message);
    return message.empty() ? quote(body.substr(0, 200)) : message;
}

tl::unexpected<Error> docker_refused(const std::string& what, int status, const std::string& body) {
    return fail(status == 404 ? Errc::not_found : Errc::io, what + ": " + docker_message(body));
}

}  // namespace

Result<void> fetch_from_docker(registry::Access& access, const std::string& name, int output) {
    registry::HttpRequest request;
    request.unix_socket = TRY(docker_socket());
    request.url = "http://localhost/v1.24/images/" + registry::url_escape(name) + "/get";
    auto stream = TRY(access.fetcher()->open(request));
    if (!stream.head().ok()) {
        auto body = TRY(stream.read_all(64U << 10U));
        return docker_refused("docker-daemon:" + name, stream.head().status, body);
    }
    std::vector<char> buffer(256U << 10U);
    for (;;) {
        size_t got = TRY(stream.read(buffer));
        if (got == 0) return {};
        TRY(write_all(output, {buffer.data(), got}));
    }
}

Result<void> send_to_docker(registry::Access& access, int archive) {
    struct stat info{};
    if (::fstat(archive, &info) < 0 || ::lseek(archive, 0, SEEK_SET) < 0)
        return fail_errno(errno, "read the archive for docker");
    registry::HttpRequest request;
    request.method = "POST";
    request.unix_socket = TRY(docker_socket());
    request.url = "http://localhost/v1.24/images/load?quiet=1";
    request.headers.push_back({"Content-Type", "application/x-tar"});
    request.body_size = static_cast<uint64_t>(info.st_size);
    request.body_source = [archive](std::span<char> into) -> Result<size_t> {
        ssize_t got = ::read(archive, into.data(), into.size());
        if (got < 0) return fail_errno(errno, "read the archive for docker");
        return static_cast<size_t>(got);
    };
    auto answer = TRY(access.fetcher()->send(request, 4U << 20U));
    if (!answer.head.ok()) return docker_refused("docker load", answer.head.status, answer.body);
    // The status is 200 also when loading fails later: the body then has an errorDetail.
    for (auto line : split_lines(answer.body)) {
        auto document = parse_json(line, "answer of docker");
        if (!document || !document->is_object()) continue;
        std::string error;
        (void)JsonReader{*document, ""}.read("error", error);
        if (!error.empty()) return fail(Errc::io, "docker load: " + error);
    }
    return {};
}

}  // namespace hull::image
