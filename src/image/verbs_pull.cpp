#include "image/budget.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "image/transfer_options.hpp"

namespace hull::image {
namespace {

constexpr std::string_view kScheme = "docker://";

/// All that a short name may stand for, ready to be asked.
Result<std::vector<Place>> prepare_candidates(Workshop& shop, std::string name) {
    if (name.starts_with(kScheme)) name.erase(0, kScheme.size());
    std::vector<Place> out;
    for (const auto& reference : TRY(shop.access().candidates(name)))
        out.push_back(TRY(shop.prepare_source(std::string{kScheme} + reference.to_string())));
    return out;
}

struct Found {
    spec::Reference reference;
    std::unique_ptr<registry::ImageSource> source;
};

/// The first of the candidates that a registry has.
Result<Found> find_first(Workshop& shop, std::vector<Place>& candidates,
                         const spec::Platform& platform) {
    std::string tried;
    for (auto& place : candidates) {
        auto source = shop.open_source(place, platform);
        if (source) return Found{place.reference, std::move(*source)};
        if (candidates.size() == 1 || source.error().code == Errc::cancelled)
            return fail(std::move(source).error());
        tried += (tried.empty() ? "" : "; ") + source.error().to_string_without_hint();
    }
    return fail(Errc::not_found, "no search registry of registries.conf has it: " + tried,
                "give the whole name, with its registry");
}

Result<void> pull(Context& context, const ParsedArgs& args) {
    auto transfer = TRY(parse_transfer_options(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto candidates = TRY(prepare_candidates(shop, args.positionals.front()));
    auto to = TRY(shop.prepare_target("store:" + candidates.front().reference.to_string()));
    TRY(shop.confine());

    transfer.progress = &context.progress();
    auto from = TRY(find_first(shop, candidates, transfer.platform));
    auto& source = from.source;
    to.reference = from.reference;
    context.progress().note("pulling " + source->name());
    bool other_platform = args.has("platform") && transfer.platform != spec::host_platform();
    auto target =
        TRY(shop.open_target(to, {.explicit_platform = other_platform && !transfer.all_platforms}));
    auto done = TRY(registry::transfer_image(*source, *target, transfer));
    std::string full_name = from.reference.to_string();
    context.add_result({full_name, done.top.digest.to_string(), done.config_digest.to_string()});
    keep_to_budget(context, shop.store());
    return Context::print(full_name + "\n");
}

}  // namespace

std::vector<Verb> pull_verbs() {
    auto options = transfer_options();
    options.push_back({"all-platforms", 0, "", "the same as --all"});
    return {{"pull", "NAME[:TAG|@DIGEST]", "Fetch an image from a registry",
             with_policy_options(std::move(options)), &pull, 1, 1}};
}

}  // namespace hull::image
