// hull: the user's command line. The engine runs in this process; there is no daemon.

#include <sys/stat.h>

#include <csignal>
#include <string>
#include <vector>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "cli/output.hpp"
#include "cli/parse.hpp"
#include "cli/verbs.hpp"

namespace {

using namespace hull::cli;

int run_verb(const CommandLine& line) {
    const auto& global = line.global;
    struct Visitor {
        const CommandLine& line;
        const GlobalWords& global;
        int operator()(const PrintWords& words) const {
            print(words.text);
            return 0;
        }
        int operator()(const RunWords& words) const {
            return line.verb == "run" ? cmd_run(global, words) : cmd_create(global, words);
        }
        int operator()(const ExecWords& words) const { return cmd_exec(global, words); }
        int operator()(const AttachWords& words) const {
            return line.verb == "start" ? cmd_start(global, words) : cmd_attach(global, words);
        }
        int operator()(const ListWords& words) const {
            if (line.verb == "images") return cmd_images(global, words);
            return line.verb == "ps" ? cmd_ps(global, words) : cmd_volumes(global, words);
        }
        int operator()(const NamesWords& words) const {
            if (line.verb == "inspect" || line.verb == "volume inspect")
                return cmd_inspect(global, line.verb, words);
            return cmd_names(global, line.verb, words);
        }
        int operator()(const LogsWords& words) const { return cmd_logs(global, words); }
        int operator()(const FormatWords& words) const {
            if (line.verb == "df") return cmd_df(global, words);
            return line.verb == "version" ? cmd_version(words) : cmd_info(global, words);
        }
        int operator()(const ExportWords& words) const { return cmd_export(global, words); }
        int operator()(const ImageToolWords& words) const { return cmd_image_tool(global, words); }
    };
    return std::visit(Visitor{line, global}, line.words);
}

/// What the engine has to say while it works, in the words of the command line.
void print_record(hull::log::Level level, std::string_view message) {
    if (level == hull::log::Level::warning) return print_warning(message);
    (void)hull::write_all(2, "hull: " + std::string(hull::log::level_name(level)) + ": " +
                                 std::string(message) + "\n");
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    // Modes are ours to choose; the caller's umask is no part of a container.
    ::umask(0022);
    auto line = parse_command_line(std::vector<std::string>(argv + 1, argv + argc));
    if (!line) {
        print_error(line.error());
        return hull::kHullFailed;
    }
    using hull::log::Level;
    hull::log::configure(
        {.level = line->global.debug ? Level::debug : Level::warning, .sink = print_record});
    return run_verb(*line);
}
