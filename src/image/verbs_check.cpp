// fsck: reads everything in the store, and mends it.

#include <algorithm>

#include "base/text.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "layer/hash.hpp"
#include "layer/verify.hpp"
#include "registry/endpoints.hpp"
#include "store/check.hpp"
#include "store/images.hpp"

namespace hull::image {
namespace {

using store::Damage;

std::string describe(const Damage& damage) {
    std::string out{store::damage_name(damage.kind)};
    if (!damage.digest.is_empty()) out += " " + damage.digest.to_string();
    if (!damage.image.empty()) out += " of " + damage.image;
    return damage.detail.empty() ? out : out + ": " + damage.detail;
}

/// The layers of all images here, each once, with the blob they come from.
Result<std::vector<layer::LayerRequest>> unpacked_layers(const store::Store& store) {
    std::vector<layer::LayerRequest> out;
    for (const auto& image : TRY(store::list_images(store))) {
        size_t count = std::min(image.manifest.layers.size(), image.config.diff_ids.size());
        for (size_t i = 0; i < count; ++i) {
            const auto& diff_id = image.config.diff_ids[i];
            bool known = std::any_of(out.begin(), out.end(),
                                     [&](const auto& one) { return one.diff_id == diff_id; });
            bool here =
                store.layers().has(diff_id) && store.blobs().has(image.manifest.layers[i].digest);
            if (!known && here) {
                layer::LayerRequest request;
                request.descriptor = image.manifest.layers[i];
                request.diff_id = diff_id;
                out.push_back(std::move(request));
            }
        }
    }
    return out;
}

/// Compares the trees with their blobs; with `repair` a damaged tree is made anew.
Result<size_t> check_trees(Context& context, Workshop& shop, bool repair) {
    size_t bad = 0;
    for (auto& request : TRY(unpacked_layers(shop.store()))) {
        if (Context::cancelled().load()) return fail(Errc::cancelled, "interrupted");
        auto report = layer::verify_layer(shop.store(), shop.lease(), request, repair);
        std::string what = "corrupt layer " + request.diff_id.to_string();
        if (!report) {
            TRY(Context::print(what + ": " + report.error().to_string() + "\n"));
            ++bad;
            continue;
        }
        if (report->differences.empty()) continue;
        TRY(Context::print(what + ": " + join(report->differences, ", ") +
                           (report->was_repaired ? " (mended)" : "") + "\n"));
        if (!report->was_repaired) ++bad;
    }
    (void)context;
    return bad;
}

/// Whether the manifest that a name stands for, its blobs and layers are all here.
bool is_whole(const store::Store& store, const store::ReferenceEntry& entry) {
    auto image = store::load_image(store, entry.digest);
    if (!image) return false;
    for (const auto& blob : image->manifest.layers)
        if (!store.blobs().has(blob.digest)) return false;
    return std::all_of(image->config.diff_ids.begin(), image->config.diff_ids.end(),
                       [&](const auto& diff_id) { return store.layers().has(diff_id); });
}

/// Fetches what an image lacks: unpacks from its own blobs, else from its registry, by digest.
Result<void> mend(Context& context, Workshop& shop, const store::ReferenceEntry& entry) {
    registry::StoreTargetOptions options;
    options.cancelled = &Context::cancelled();
    auto target = registry::open_store_target(shop.store(), shop.lease(), options);
    registry::TransferOptions transfer;
    transfer.progress = &context.progress();
    transfer.cancelled = &Context::cancelled();
    auto own = registry::open_store_source(shop.store(), entry.name,
                                           {entry.media_type, entry.digest, entry.size});
    if (registry::transfer_image(*own, *target, transfer)) return {};
    auto reference = TRY(spec::parse_reference(entry.name));
    reference.tag.clear();
    reference.digest = entry.digest;
    auto source = TRY(registry::open_registry_source(shop.access(), reference));
    TRY(registry::transfer_image(*source, *target, transfer));
    return {};
}

/// Removes what is damaged, so that it can be fetched again.
Result<void> remove_damaged(const store::Store& store, const std::vector<Damage>& found) {
    for (const auto& damage : found) {
        if (damage.digest.is_empty()) continue;
        if (damage.kind == Damage::Kind::corrupt_blob || damage.kind == Damage::Kind::bad_document)
            TRY(store.blobs().remove(damage.digest));
        if (damage.kind == Damage::Kind::bad_record || damage.kind == Damage::Kind::corrupt_layer)
            TRY(store.layers().remove(damage.digest));
    }
    return {};
}

Result<size_t> mend_images(Context& context, Workshop& shop) {
    size_t lost = 0;
    for (const auto& entry : TRY(shop.store().references().list())) {
        if (is_whole(shop.store(), entry)) continue;
        auto mended = mend(context, shop, entry);
        if (mended) {
            TRY(Context::print("mended " + entry.name + "\n"));
            continue;
        }
        if (mended.error().code == Errc::cancelled) return fail(std::move(mended).error());
        ++lost;
        TRY(Context::print("lost " + entry.name + ": " + mended.error().to_string() + "\n"));
    }
    return lost;
}

Result<void> check(Context& context, const ParsedArgs& args) {
    bool repair = args.has("repair");
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start("", ""));
    if (repair) {
        // Credentials must be found before the process confines itself.
        TRY(enter_namespace());
        auto store = TRY(context.open_store());
        for (const auto& entry : TRY(store.references().list()))
            if (auto reference = spec::parse_reference(entry.name))
                (void)shop.access().prepare(*reference);
        shop.use_registry();
    }
    shop.use_unpacking();
    TRY(shop.confine());
    auto found = TRY(store::check_store(shop.store(), &layer::create_hasher));
    for (const auto& damage : found)
        TRY(Context::print(describe(damage) + "\n"));
    size_t bad = found.size();
    if (repair) {
        TRY(remove_damaged(shop.store(), found));
        bad = TRY(mend_images(context, shop));
    }
    if (!args.has("quick")) bad += TRY(check_trees(context, shop, repair));
    if (bad == 0) return Context::print(found.empty() ? "the store is whole\n" : "all is mended\n");
    return fail(Errc::corrupt, std::to_string(bad) + " faults in the store " + shop.store().root(),
                repair ? "remove or build again the images that are named"
                       : "mend them from the registry: hull image fsck --repair");
}

}  // namespace

std::vector<Verb> check_verbs() {
    return {{"fsck", "", "Read all of the store and find every damaged or missing byte",
             with_registry_options({{"repair", 0, "", "fetch again what is damaged"},
                                    {"quick", 0, "", "do not compare unpacked trees"},
                                    {"quiet", 'q', "", "show no progress"}}),
             &check, 0, 0}};
}

}  // namespace hull::image
