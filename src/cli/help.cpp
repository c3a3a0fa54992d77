#include "cli/help.hpp"

#include <algorithm>
#include <array>

namespace hull::cli {
namespace {

struct VerbHelp {
    std::string_view verb;
    std::string_view synopsis;
    std::string_view text;
    std::string_view examples;
};

constexpr std::array<VerbHelp, 24> kHelp = {{
    {"run", "hull run [OPTIONS] IMAGE [COMMAND [ARG…]]",
     "Makes a container from an image and runs a command in it. The image is pulled if it is not "
     "here.\nBy default the container has ids of its own, no network but loopback, ten "
     "capabilities, a system\ncall filter, and at most 2048 processes. The exit code is the "
     "command's; 125: hull failed,\n126: the command cannot be executed, 127: it was not found, "
     "128+n: a signal ended it.",
     "  hull run --rm -it debian:12 bash             a shell that leaves nothing behind\n"
     "  hull run -d --name web -m 256m nginx         in the background, with a limit\n"
     "  hull run --rm -v \"$PWD:/src:ro\" gcc make -C /src   a folder of yours, read-only\n"
     "  hull run --dry-run debian:12 true            what would be asked of the runtime\n"},
    {"create", "hull create [OPTIONS] IMAGE [COMMAND [ARG…]]",
     "Makes a container and does not start it. Prints its id.",
     "  hull create --name db -v data:/var/lib/db postgres && hull start db\n"},
    {"exec", "hull exec [OPTIONS] CONTAINER COMMAND [ARG…]",
     "Runs one more command in a running container, confined as it is.",
     "  hull exec -it web sh\n  hull exec -u www-data -e DEBUG=1 web php cron.php\n"},
    {"start", "hull start [OPTIONS] CONTAINER…", "Starts containers that do not run.",
     "  hull start db\n  hull start -ai shell     and take part in it\n"},
    {"attach", "hull attach [OPTIONS] CONTAINER",
     "Connects to the stdin and stdout of a running container. ctrl-p ctrl-q lets go of it again.",
     "  hull attach shell\n"},
    {"ps", "hull ps [OPTIONS]", "Lists containers: the running ones, or all with -a.",
     "  hull ps -a\n  hull ps -q --filter label=app=web\n  hull ps --format json\n"},
    {"images", "hull images [OPTIONS] [NAME[:TAG]]", "Lists the images that are here.",
     "  hull images\n  hull images debian\n  hull images --filter reference='debian:*'\n"},
    {"stop", "hull stop [OPTIONS] CONTAINER…",
     "Asks a container to end (SIGTERM, or what its image says), and kills it after ten seconds.",
     "  hull stop -t 30 db\n"},
    {"restart", "hull restart [OPTIONS] CONTAINER…", "Stops and starts.", "  hull restart web\n"},
    {"kill", "hull kill [OPTIONS] CONTAINER…", "Sends a signal, SIGKILL if none is given.",
     "  hull kill -s HUP web\n"},
    {"rm", "hull rm [OPTIONS] CONTAINER…", "Removes containers; running ones with -f only.",
     "  hull rm -f web\n  hull rm $(hull ps -aq --filter status=exited)\n"},
    {"wait", "hull wait CONTAINER…", "Waits until containers have ended; prints their exit codes.",
     "  hull wait job\n"},
    {"inspect", "hull inspect [OPTIONS] NAME…",
     "Everything about containers or images, as JSON, with what weakens them under Warnings.",
     "  hull inspect web\n  hull inspect -f '{{.State.Pid}}' web\n"},
    {"rename", "hull rename CONTAINER NAME", "Gives a container another name.",
     "  hull rename brisk_otter web\n"},
    {"rmi", "hull rmi [OPTIONS] IMAGE…", "Removes images that no container uses.",
     "  hull rmi debian:11\n"},
    {"logs", "hull logs [OPTIONS] CONTAINER",
     "What a container wrote to stdout and stderr, each to its own.",
     "  hull logs -f --tail 20 web\n"},
    {"export", "hull export [OPTIONS] CONTAINER",
     "Writes the files of a container, running or not, to a tar archive: the image's and what it "
     "wrote\nover them, without what is mounted. hull import makes an image of it.",
     "  hull export -o web.tar web\n  hull export web | hull import - web:copy\n"},
    {"volume ls", "hull volume ls [OPTIONS]", "Lists named volumes.", "  hull volume ls\n"},
    {"volume rm", "hull volume rm VOLUME…", "Removes volumes with all their data.",
     "  hull volume rm data\n"},
    {"volume create", "hull volume create NAME…", "Makes named volumes.",
     "  hull volume create data\n"},
    {"volume inspect", "hull volume inspect VOLUME…", "Where a volume lies, as JSON.",
     "  hull volume inspect data\n"},
    {"info", "hull info [OPTIONS]", "What this hull is, keeps and can do on this machine.",
     "  hull info --format json\n"},
    {"df", "hull system df [OPTIONS]",
     "How much space images, containers and volumes take, and how much of it nothing uses.\n"
     "hull image prune, hull rm and hull volume rm give it back.",
     "  hull system df\n  hull df --format json\n"},
    {"version", "hull version [OPTIONS]", "The version of hull and its programs.",
     "  hull version\n"},
}};

}  // namespace

std::string overview_help() {
    return "hull runs containers: safe by default, without a daemon, as any user.\n"
           "\n"
           "usage: hull [--root DIR] [--runroot DIR] [--debug] COMMAND …\n"
           "\n"
           "Run\n"
           "  run        make a container from an image and run a command in it\n"
           "  exec       run one more command in a running container\n"
           "  create     make a container without starting it\n"
           "  start      start a container that does not run\n"
           "  attach     take part in a running container\n"
           "\n"
           "Look\n"
           "  ps         list containers\n"
           "  logs       what a container wrote\n"
           "  inspect    everything about a container or image\n"
           "  info       what this hull keeps and can do\n"
           "  df         how much space images, containers and volumes take (hull system df)\n"
           "  version    versions\n"
           "\n"
           "End\n"
           "  stop       ask a container to end\n"
           "  restart    stop and start\n"
           "  kill       send a signal\n"
           "  wait       wait for the end; print the exit code\n"
           "  rm         remove a container\n"
           "  rename     give it another name\n"
           "\n"
           "Images\n"
           "  images     list images\n"
           "  pull       fetch an image from a registry\n"
           "  load       take images from an archive\n"
           "  import     make an image of a root file system's tar\n"
           "  export     write a container's files to a tar archive\n"
           "  rmi        remove an image\n"
           "  image …    everything else about images (hull image --help)\n"
           "\n"
           "Volumes\n"
           "  volume ls | create | rm | inspect\n"
           "\n"
           "hull COMMAND --help tells more, with examples. First steps:\n"
           "  hull pull debian:12 && hull run --rm -it debian:12 bash\n";
}

std::string verb_help(std::string_view verb, const std::string& options) {
    const auto* help = std::ranges::find(kHelp, verb, &VerbHelp::verb);
    // CLI11's text begins with its own usage line; the table of options is what is wanted.
    size_t table = options.find("Options:");
    std::string rest = table == std::string::npos ? std::string() : options.substr(table);
    if (help == kHelp.end()) return "usage: hull " + std::string(verb) + "\n\n" + rest;
    return "usage: " + std::string(help->synopsis) + "\n\n" + std::string(help->text) +
           "\n\nExamples:\n" + std::string(help->examples) + "\n" + rest;
}

}  // namespace hull::cli
