#include "image/budget.hpp"

#include <set>

#include "base/log.hpp"
#include "base/units.hpp"
#include "store/collect.hpp"
#include "store/images.hpp"
#include "store/snapshots.hpp"

namespace hull::image {
namespace {

Result<void> drop_unused(Context& context, const store::Store& store, Bytes budget) {
    auto keep = TRY(manifests_in_use(store));
    for (const auto& image : context.results())
        if (auto digest = spec::Digest::parse(image.digest)) keep.push_back(*digest);
    for (const auto& name : TRY(store::keep_budget(store, budget, keep)))
        context.progress().note("dropped " + name + ": the images' budget is " +
                                format_bytes(budget));
    Bytes now = store::image_bytes(store);
    if (now > budget)
        log::warning("images take " + format_bytes(now) + ", over the budget of " +
                     format_bytes(budget) + " in " + store::settings_path(store.root()) +
                     ": what is left is in use or just came");
    return {};
}

}  // namespace

Result<std::vector<spec::Digest>> manifests_in_use(const store::Store& store) {
    std::set<std::vector<std::string>> lower;
    store::Snapshots snapshots{store};
    for (const auto& id : TRY(snapshots.list())) {
        auto mounts = snapshots.mounts(id);
        if (mounts) lower.insert(mounts->lower);
    }
    std::vector<spec::Digest> out;
    for (const auto& image : TRY(store::list_images(store))) {
        auto layers = store.layers().lower_directories(image.config.diff_ids);
        if (layers && lower.contains(*layers)) out.push_back(image.digest);
    }
    return out;
}

void keep_to_budget(Context& context, const store::Store& store) {
    auto budget = context.store_settings().image_budget;
    if (!budget) return;
    auto kept = drop_unused(context, store, *budget);
    if (!kept) log::warning("the images' budget is not kept: " + kept.error().to_string());
}

}  // namespace hull::image
