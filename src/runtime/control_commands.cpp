#include <algorithm>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/json_writer.hpp"
#include "base/spawn.hpp"
#include "base/text.hpp"
#include "base/units.hpp"
#include "runtime/commands.hpp"
#include "runtime/container.hpp"
#include "runtime/control.hpp"
#include "spec/runtime_json.hpp"

namespace hull::runtime {
namespace {

constexpr std::span<const OptionSpec> kNoOptions;
constexpr OptionSpec kFormatOptions[] = {
    {"format", 'f', "FORMAT", "table or json"},
};
constexpr OptionSpec kEventsOptions[] = {
    {"interval", 0, "DURATION", "between two statistics (default 5s)"},
    {"stats", 0, "", "print the statistics once"},
};
constexpr OptionSpec kUpdateOptions[] = {
    {"resources", 'r', "FILE", "a linux.resources object as JSON, - for stdin"},
    {"blkio-weight", 0, "N", "10 to 1000"},
    {"cpu-period", 0, "MICROSECONDS", "length of a period of --cpu-quota"},
    {"cpu-quota", 0, "MICROSECONDS", "CPU time in each period; -1: no limit"},
    {"cpu-burst", 0, "MICROSECONDS", "unused quota that may be used later"},
    {"cpu-share", 0, "N", "weight against other containers, 2 to 262144"},
    {"cpu-rt-period", 0, "MICROSECONDS", "of real time scheduling"},
    {"cpu-rt-runtime", 0, "MICROSECONDS", "of real time scheduling"},
    {"cpuset-cpus", 0, "LIST", "CPUs to run on: 0-3,7"},
    {"cpuset-mems", 0, "LIST", "memory nodes to use"},
    {"cpu-idle", 0, "0|1", "1: run only when nothing else wants to"},
    {"kernel-memory", 0, "BYTES", "without effect since Linux 5.16"},
    {"kernel-memory-tcp", 0, "BYTES", "v1 only"},
    {"memory", 0, "BYTES", "64m, 1g; -1: no limit"},
    {"memory-reservation", 0, "BYTES", "soft limit"},
    {"memory-swap", 0, "BYTES", "memory and swap together; -1: no limit"},
    {"pids-limit", 0, "N", "processes; -1: no limit"},
    {"l3-cache-schema", 0, "SCHEMA", "share of the L3 caches (Intel RDT): L3:0=ff;1=c0"},
    {"mem-bw-schema", 0, "SCHEMA", "memory bandwidth (Intel RDT): MB:0=20;1=70"},
};

Result<int> pause_command(const Settings& settings, const ParsedArgs& args) {
    TRY(pause_container(settings, args.positionals[0]));
    return 0;
}

Result<int> resume_command(const Settings& settings, const ParsedArgs& args) {
    TRY(resume_container(settings, args.positionals[0]));
    return 0;
}

/// Reads option `name` into `target`, if it was given.
template <typename T>
Result<void> read_number(const ParsedArgs& args, std::string_view name, std::optional<T>& target) {
    auto text = args.find(name);
    if (!text || text->empty()) return {};
    auto number = parse_number<T>(*text);
    if (!number)
        return fail(Errc::invalid,
                    "--" + std::string{name} + ": " + quote(*text) + " is not a whole number");
    target = *number;
    return {};
}

Result<void> read_bytes(const ParsedArgs& args, std::string_view name,
                        std::optional<int64_t>& target) {
    auto text = args.find(name);
    if (!text || text->empty()) return {};
    if (*text == "-1") {
        target = -1;
        return {};
    }
    target =
        static_cast<int64_t>(TRY(with_context(parse_bytes(*text), "--" + std::string{name})).value);
    return {};
}

Result<spec::Resources> resources_from_options(const ParsedArgs& args) {
    spec::Resources out;
    spec::CpuResources& cpu = out.cpu.emplace();
    TRY(read_number(args, "cpu-period", cpu.period));
    TRY(read_number(args, "cpu-quota", cpu.quota));
    TRY(read_number(args, "cpu-burst", cpu.burst));
    TRY(read_number(args, "cpu-share", cpu.shares));
    TRY(read_number(args, "cpu-rt-period", cpu.realtime_period));
    TRY(read_number(args, "cpu-rt-runtime", cpu.realtime_runtime));
    TRY(read_number(args, "cpu-idle", cpu.idle));
    cpu.cpus = args.find("cpuset-cpus");
    cpu.mems = args.find("cpuset-mems");
    spec::MemoryResources& memory = out.memory.emplace();
    TRY(read_bytes(args, "memory", memory.limit));
    TRY(read_bytes(args, "memory-reservation", memory.reservation));
    TRY(read_bytes(args, "memory-swap", memory.swap));
    TRY(read_bytes(args, "kernel-memory", memory.kernel));
    TRY(read_bytes(args, "kernel-memory-tcp", memory.kernel_tcp));
    TRY(read_number(args, "pids-limit", out.pids_limit));
    std::optional<uint16_t> weight;
    TRY(read_number(args, "blkio-weight", weight));
    if (weight) out.block_io.emplace().weight = weight;
    return out;
}

Result<int> update_command(const Settings& settings, const ParsedArgs& args) {
    spec::Resources resources;
    if (auto file = args.find("resources")) {
        std::string text = *file == "-" ? TRY(read_all(0)) : TRY(read_file(*file));
        resources = TRY(spec::parse_resources(text, *file));
    } else {
        resources = TRY(resources_from_options(args));
    }
    RdtUpdate rdt{.l3_cache_schema = args.get("l3-cache-schema"),
                  .mem_bw_schema = args.get("mem-bw-schema")};
    TRY(update_container(settings, args.positionals[0], resources, rdt));
    return 0;
}

Result<int> events_command(const Settings& settings, const ParsedArgs& args) {
    const std::string& id = args.positionals[0];
    auto interval = TRY(with_context(parse_duration(args.get("interval", "5s")), "--interval"));
    if (interval <= std::chrono::milliseconds{1})
        return fail(Errc::invalid, "--interval: must be longer than 1 ms");
    if (args.has("stats")) {
        TRY(write_all(1, TRY(container_stats(settings, id)) + "\n"));
        return 0;
    }
    TRY(follow_events(settings, id,
                      std::chrono::duration_cast<std::chrono::milliseconds>(interval)));
    return 0;
}

std::vector<std::string_view> words_of(std::string_view line) {
    std::vector<std::string_view> words;
    for (auto word : split(line, ' '))
        if (!word.empty()) words.push_back(word);
    return words;
}

/// ps(1)'s own table, without the lines of other processes.
Result<std::string> filter_table(std::string_view table, const std::vector<pid_t>& pids) {
    auto lines = split_lines(table);
    auto titles = lines.empty() ? std::vector<std::string_view>{} : words_of(lines[0]);
    auto column =
        static_cast<size_t>(std::find(titles.begin(), titles.end(), "PID") - titles.begin());
    if (column == titles.size())
        return fail(Errc::invalid, "ps printed no PID column", "let it print pids: -o pid,…");
    std::string out = std::string{lines[0]} + "\n";
    for (size_t i = 1; i < lines.size(); ++i) {
        auto words = words_of(lines[i]);
        if (words.size() <= column) continue;
        auto pid = parse_number<pid_t>(words[column]);
        if (pid && std::find(pids.begin(), pids.end(), *pid) != pids.end())
            out += std::string{lines[i]} + "\n";
    }
    return out;
}

Result<int> ps_command(const Settings& settings, const ParsedArgs& args) {
    auto pids = TRY(container_processes(settings, args.positionals[0]));
    std::string format = args.get("format", "table");
    if (format == "json") {
        JsonWriter out;
        out.begin_array();
        for (pid_t pid : pids)
            out.value(pid);
        out.end_array();
        TRY(write_all(1, out.take() + "\n"));
        return 0;
    }
    if (format != "table")
        return fail(Errc::invalid, "--format: " + quote(format) + " is unknown",
                    "use table or json");
    SpawnRequest ps{.program = "ps"};
    ps.args.assign(args.positionals.begin() + 1, args.positionals.end());
    if (ps.args.empty()) ps.args = {"-ef"};
    auto output = TRY(run_command(ps));
    if (!output.status.success())
        return fail(Errc::invalid, "ps: " + std::string{trim(output.err)});
    TRY(write_all(1, TRY(filter_table(output.out, pids))));
    return 0;
}

constexpr std::string_view kUpdateHelp =
    "Only what is given is changed. Sizes may end in k, m, g. Of FILE, `devices` replaces all\n"
    "device rules.\n"
    "  hull-runtime update --memory 256m --pids-limit 100 web\n"
    "  echo '{\"cpu\":{\"shares\":512}}' | hull-runtime update -r - web";
constexpr std::string_view kPsHelp =
    "What follows the id goes to ps(1), by default -ef.\n"
    "  hull-runtime ps web -o pid,rss,args";

constexpr Command kCommands[] = {
    {"ps", "ID [PS OPTION…]", "list the processes of a container", kPsHelp, kFormatOptions, 1,
     SIZE_MAX, 1, ps_command},
    {"pause", "ID", "stop all processes where they are", "", kNoOptions, 1, 1, {}, pause_command},
    {"resume", "ID", "let a paused container go on", "", kNoOptions, 1, 1, {}, resume_command},
    {"update",
     "ID",
     "change resource limits",
     kUpdateHelp,
     kUpdateOptions,
     1,
     1,
     {},
     update_command},
    {"events",
     "ID",
     "print statistics and OOM kills as JSON",
     "",
     kEventsOptions,
     1,
     1,
     {},
     events_command},
};

}  // namespace

std::span<const Command> control_commands() {
    return kCommands;
}

}  // namespace hull::runtime
