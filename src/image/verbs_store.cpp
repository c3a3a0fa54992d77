// tag, untag, prune, df: names and space of the store.

#include <algorithm>

#include "base/text.hpp"
#include "base/units.hpp"
#include "image/budget.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "store/collect.hpp"
#include "store/short_names.hpp"

namespace hull::image {
namespace {

/// Opens and confines for verbs that work on the store alone.
Result<store::Store> open_alone(Context& context, bool needs_range) {
    TRY(enter_namespace({.needs_range = needs_range}));
    auto store = TRY(context.open_store());
    TRY(context.confine_for_store({.unpacks = false, .network = false}));
    return store;
}

Result<void> tag(Context& context, const ParsedArgs& args) {
    auto store = TRY(open_alone(context, false));
    auto stored = TRY(find_stored(store, args.positionals[0]));
    std::vector<store::ReferenceEntry> entries;
    for (size_t i = 1; i < args.positionals.size(); ++i) {
        auto reference = TRY(spec::parse_reference(args.positionals[i]));
        if (reference.digest)
            return fail(Errc::invalid, args.positionals[i] + ": a tag cannot have a digest",
                        "give NAME:TAG");
        entries.push_back({reference.to_string(),
                           stored.target.digest,
                           stored.target.media_type,
                           stored.target.size,
                           {}});
        context.add_result({reference.to_string(), stored.target.digest.to_string(), ""});
    }
    return store.references().set(std::move(entries));
}

Result<void> untag(Context& context, const ParsedArgs& args) {
    auto store = TRY(open_alone(context, false));
    for (const auto& text : args.positionals) {
        auto reference = TRY(store::resolve_name(store, text));
        if (!TRY(store.references().remove(reference.to_string())))
            return fail(Errc::not_found, "no image has the name " + reference.to_string(),
                        "see: hull images");
        TRY(Context::print("Untagged: " + reference.to_string() + "\n"));
    }
    return {};
}

Result<std::vector<spec::Digest>> parse_keep(const ParsedArgs& args) {
    std::vector<spec::Digest> out;
    for (const auto& text : args.all("keep"))
        out.push_back(TRY(with_context(spec::Digest::parse(text), "--keep")));
    return out;
}

Result<void> prune(Context& context, const ParsedArgs& args) {
    auto keep = TRY(parse_keep(args));
    std::optional<Bytes> budget;
    if (auto text = args.find("budget")) budget = TRY(with_context(parse_bytes(*text), "--budget"));
    auto store = TRY(open_alone(context, true));
    if (!budget) budget = context.store_settings().image_budget;
    auto used = TRY(manifests_in_use(store));
    keep.insert(keep.end(), used.begin(), used.end());
    auto is_kept = [&](const spec::Digest& digest) {
        return std::find(keep.begin(), keep.end(), digest) != keep.end();
    };
    std::string out;
    for (const auto& entry : TRY(store.references().list())) {
        bool dangling = entry.name.starts_with("localhost/unnamed@");
        if ((!dangling && !args.has("all")) || is_kept(entry.digest)) continue;
        TRY(store.references().remove(entry.name));
        out += "untagged: " + entry.name + "\n";
    }
    uint64_t freed = 0;
    if (budget) {
        auto before = TRY(store::disk_usage(store));
        for (const auto& name : TRY(store::keep_budget(store, *budget, keep)))
            out += "untagged: " + name + "\n";
        auto after = TRY(store::disk_usage(store));
        auto total = [](const store::DiskUsage& usage) {
            return usage.blobs.value + usage.layers.value + usage.other.value;
        };
        freed = total(before) > total(after) ? total(before) - total(after) : 0;
    }
    store::CollectOptions options;
    options.keep = keep;
    auto report = TRY(store::collect(store, options));
    out += "Total reclaimed space: " + format_bytes({freed + report.freed.value}) + "\n";
    return Context::print(out);
}

Result<void> disk_usage(Context& context, const ParsedArgs& args) {
    auto store = TRY(open_alone(context, true));
    auto usage = TRY(store::disk_usage(store));
    struct Row {
        const char* name;
        const char* key;
        Bytes size;
    };
    const Row rows[] = {{"Blobs", "blobs", usage.blobs},
                        {"Layers", "layers", usage.layers},
                        {"Containers", "snapshots", usage.snapshots},
                        {"Unfinished", "other", usage.other},
                        {"Reclaimable", "reclaimable", usage.reclaimable}};
    std::string out;
    bool json = args.get("format") == "json";
    for (const auto& row : rows) {
        std::string name = row.name;
        name.resize(14, ' ');
        out += json ? std::string{out.empty() ? "{" : ","} + "\"" + row.key +
                          "\":" + std::to_string(row.size.value)
                    : name + format_bytes(row.size) + "\n";
    }
    return Context::print(json ? out + "}\n" : out);
}

}  // namespace

std::vector<Verb> store_verbs() {
    return {
        {"tag", "IMAGE NAME[:TAG]…", "Give an image more names", {}, &tag, 2, 1000},
        {"untag", "NAME[:TAG]…", "Take a name from an image", {}, &untag, 1, 1000},
        {"prune",
         "",
         "Remove what no image or container needs",
         {{"all", 'a', "", "also images that no container uses"},
          {"force", 'f', "", "do not ask (hull never does)"},
          {"keep", 0, "DIGEST", "a manifest that must stay"},
          {"budget", 0, "SIZE",
           "also drop images unused longest, until the store is that small "
           "(default: imageBudget of settings.json)"}},
         &prune,
         0,
         0},
        {"df",
         "",
         "Show how much space images take",
         {{"format", 0, "FORMAT", "table (default) or json"}},
         &disk_usage,
         0,
         0},
    };
}

}  // namespace hull::image
