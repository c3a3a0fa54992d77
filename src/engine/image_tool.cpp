#include "engine/image_tool.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.hpp"
#include "base/spawn.hpp"

namespace hull::engine {
namespace {

constexpr int kErrorFd = 3;
constexpr int kResultFd = 4;

}  // namespace

Result<ImageToolResult> run_image_tool(const Settings& settings, const ImageToolRequest& request) {
    SpawnRequest spawned;
    spawned.program = TRY(find_sibling("hull-image"));
    spawned.args = {"--root",      settings.root,
                    "--runroot",   settings.run_root,
                    "--progress",  request.progress,
                    "--error-fd",  std::to_string(kErrorFd),
                    "--result-fd", std::to_string(kResultFd)};
    spawned.args.insert(spawned.args.end(), request.args.begin(), request.args.end());
    Pipe errors = TRY(create_pipe());
    // A file: nobody would read a second pipe while the first is waited for.
    Fd results{::memfd_create("hull-image results", MFD_CLOEXEC)};
    if (!results) return fail_errno(errno, "memfd_create");
    Fd null = TRY(open_path("/dev/null", O_RDWR));
    spawned.fds = {{errors.write_end.get(), kErrorFd}, {results.get(), kResultFd}};
    if (request.hide_output) spawned.fds.emplace_back(null.get(), 1);
    pid_t pid = TRY(spawn(spawned));
    errors.write_end.reset();
    auto text = read_all(errors.read_end.get(), 1U << 20U);
    ExitStatus status = TRY(wait_for(pid));
    ImageToolResult out;
    out.exit_code = status.shell_code();
    if (status.success()) {
        ::lseek(results.get(), 0, SEEK_SET);
        if (auto said = read_all(results.get())) out.names = parse_result_names(*said);
        return out;
    }
    auto error = text ? decode_error(*text) : std::nullopt;
    if (error)
        out.error = std::move(*error);
    else if (status.signal != 0)
        out.error = make_error(Errc::internal,
                               "hull-image was ended by signal " + std::to_string(status.signal));
    return out;
}

}  // namespace hull::engine
