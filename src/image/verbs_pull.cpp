#include "image/budget.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "image/transfer_options.hpp"
#include "store/check.hpp"
#include "store/images.hpp"
#include "store/short_names.hpp"

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

/// The first of the candidates that is here, whole.
std::optional<StoredImage> find_here(const store::Store& store,
                                     const std::vector<spec::Reference>& candidates,
                                     const spec::Platform& platform) {
    for (const auto& reference : candidates) {
        auto entry = store.references().find(reference.to_string());
        if (!entry || !*entry) continue;
        const auto& found = **entry;
        if (store::load_image(store, found.digest, platform) &&
            store::check_image(store, found).empty())
            return StoredImage{found.name, {found.media_type, found.digest, found.size}};
    }
    return std::nullopt;
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

std::string short_form(const ParsedArgs& args) {
    std::string name = args.positionals.front();
    if (name.starts_with(kScheme)) name.erase(0, kScheme.size());
    return name;
}

/// With --missing: whether nothing has to be fetched. Reads only what this store wrote.
Result<bool> use_what_is_here(Context& context, Workshop& shop, const ParsedArgs& args,
                              const spec::Platform& platform) {
    auto candidates = TRY(shop.access().candidates(short_form(args)));
    TRY(enter_namespace());
    auto store = TRY(context.open_store());
    auto here = find_here(store, candidates, platform);
    if (!here) return false;
    TRY(store::remember_short_name(store, short_form(args),
                                   TRY(spec::parse_reference(here->name))));
    context.add_result({here->name, here->target.digest.to_string(), ""});
    TRY(Context::print(here->name + "\n"));
    return true;
}

Result<void> pull(Context& context, const ParsedArgs& args) {
    auto transfer = TRY(parse_transfer_options(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    if (args.has("missing") && TRY(use_what_is_here(context, shop, args, transfer.platform)))
        return {};
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
    TRY(store::remember_short_name(shop.store(), short_form(args), from.reference));
    context.add_result({full_name, done.top.digest.to_string(), done.config_digest.to_string()});
    keep_to_budget(context, shop.store());
    return Context::print(full_name + "\n");
}

}  // namespace

std::vector<Verb> pull_verbs() {
    auto options = transfer_options();
    options.push_back({"missing", 0, "", "fetch nothing if the image is here"});
    options.push_back({"all-platforms", 0, "", "the same as --all"});
    return {{"pull", "NAME[:TAG|@DIGEST]", "Fetch an image from a registry",
             with_policy_options(std::move(options)), &pull, 1, 1}};
}

}  // namespace hull::image
