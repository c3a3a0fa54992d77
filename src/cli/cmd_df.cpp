// system df.

#include "base/text.hpp"
#include "cli/output.hpp"
#include "cli/verbs.hpp"
#include "engine/engine.hpp"

namespace hull::cli {
namespace {

std::string share(Bytes part, Bytes whole) {
    std::string out = format_bytes(part);
    if (whole.value == 0) return out;
    return out + " (" + std::to_string(part.value * 100 / whole.value) + "%)";
}

Result<std::string> describe_usage(const GlobalWords& global, const FormatWords& words) {
    auto engine = TRY(engine::Engine::open(global.settings));
    auto usage = TRY(engine.disk_usage());
    Table table;
    table.columns = {{"Type", "TYPE"},
                     {"TotalCount", "TOTAL"},
                     {"Active", "ACTIVE"},
                     {"Size", "SIZE"},
                     {"Reclaimable", "RECLAIMABLE"},
                     {"Bytes", "BYTES", false},
                     {"ReclaimableBytes", "RECLAIMABLE BYTES", false}};
    auto add = [&](const char* type, const engine::KindUsage& kind) {
        table.rows.push_back({type, std::to_string(kind.total), std::to_string(kind.active),
                              format_bytes(kind.size), share(kind.reclaimable, kind.size),
                              std::to_string(kind.size.value),
                              std::to_string(kind.reclaimable.value)});
    };
    add("Images", usage.images);
    add("Containers", usage.containers);
    add("Local Volumes", usage.volumes);
    // Downloads that were cut short: the next pull continues them, hull image prune ends them.
    add("Unfinished", {0, 0, usage.unfinished, usage.unfinished});
    return format_table(table, words.format);
}

}  // namespace

int cmd_df(const GlobalWords& global, const FormatWords& words) {
    auto text = describe_usage(global, words);
    if (!text) {
        print_error(text.error());
        return 1;
    }
    print(*text);
    return 0;
}

}  // namespace hull::cli
