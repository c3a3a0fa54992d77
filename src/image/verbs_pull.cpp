#include "image/command.hpp"
#include "image/places.hpp"
#include "image/transfer_options.hpp"

namespace hull::image {
namespace {

Result<void> pull(Context& context, const ParsedArgs& args) {
    std::string name = args.positionals.front();
    if (!name.starts_with("docker://")) name.insert(0, "docker://");
    auto transfer = TRY(parse_transfer_options(args));
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    auto from = TRY(shop.prepare_source(name));
    auto to = TRY(shop.prepare_target("store:" + from.reference.to_string()));
    TRY(shop.confine());

    transfer.progress = &context.progress();
    auto source = TRY(shop.open_source(from, transfer.platform));
    context.progress().note("pulling " + source->name());
    bool other_platform = args.has("platform") && transfer.platform != spec::host_platform();
    auto target =
        TRY(shop.open_target(to, {.explicit_platform = other_platform && !transfer.all_platforms}));
    auto done = TRY(registry::transfer_image(*source, *target, transfer));
    std::string full_name = from.reference.to_string();
    context.add_result({full_name, done.top.digest.to_string(), done.config_digest.to_string()});
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
