#include "base/text.hpp"
#include "image/command.hpp"
#include "registry/endpoints.hpp"
#include "spec/reference.hpp"

namespace hull::image {
namespace {

constexpr unsigned kDefaultParallel = 3;

Result<unsigned> parse_parallel(const ParsedArgs& args) {
    auto text = args.find("jobs");
    if (!text) return kDefaultParallel;
    auto number = parse_number<unsigned>(*text);
    if (!number || *number < 1 || *number > 16)
        return fail(Errc::invalid, "--jobs " + quote(*text) + ": must be 1 to 16");
    return *number;
}

Result<void> pull(Context& context, const ParsedArgs& args) {
    std::string name = args.positionals.front();
    if (name.starts_with("docker://")) name.erase(0, 9);
    auto options = TRY(parse_access_options(args));
    auto platform = TRY(parse_platform_option(args));
    registry::TransferOptions transfer;
    transfer.platform = platform;
    transfer.all_platforms = args.has("all-platforms");
    transfer.parallel = TRY(parse_parallel(args));
    transfer.cancelled = &Context::cancelled();
    auto access = TRY(registry::Access::create(options));
    auto reference = TRY(access->complete(name));
    TRY(access->prepare(reference));

    TRY(enter_namespace());
    auto store = TRY(context.open_store());
    ConfineRequest confinement;
    add_registry_paths(options, confinement);
    TRY(context.confine_for_store(std::move(confinement)));

    auto lease = TRY(store.create_lease());
    transfer.progress = &context.progress();
    auto source = TRY(registry::open_registry_source(*access, reference));
    context.progress().note("pulling " + source->name());
    registry::StoreTargetOptions target_options;
    target_options.names = {reference.to_string()};
    target_options.explicit_platform =
        args.has("platform") && platform != spec::host_platform() && !transfer.all_platforms;
    target_options.cancelled = &Context::cancelled();
    auto target = registry::open_store_target(store, lease, std::move(target_options));
    auto done = TRY(registry::transfer_image(*source, *target, transfer));
    context.add_result(
        {reference.to_string(), done.top.digest.to_string(), done.config_digest.to_string()});
    return Context::print(reference.to_string() + "\n");
}

}  // namespace

std::vector<Verb> pull_verbs() {
    return {{"pull", "NAME[:TAG|@DIGEST]", "Fetch an image from a registry",
             with_registry_options({
                 {"platform", 0, "OS/ARCH[/VARIANT]",
                  "which image of a list (default: this machine's)"},
                 {"all-platforms", 'a', "", "fetch the images of all platforms"},
                 {"jobs", 'j', "N", "layers fetched at a time (default 3)"},
                 {"quiet", 'q', "", "show no progress"},
             }),
             &pull, 1, 1}};
}

}  // namespace hull::image
