// fsck: reads everything in the store, and mends it.

#include <algorithm>
#include <set>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "layer/hash.hpp"
#include "layer/verify.hpp"
#include "registry/endpoints.hpp"
#include "store/check.hpp"
#include "store/collect.hpp"
#include "store/marks.hpp"

namespace hull::image {
namespace {

using store::Damage;

std::string describe(const Damage& damage) {
    std::string out{store::damage_name(damage.kind)};
    if (!damage.digest.is_empty()) out += " " + damage.digest.to_string();
    if (!damage.image.empty()) out += " of " + damage.image;
    return damage.detail.empty() ? out : out + ": " + damage.detail;
}

using LayerRequests = std::vector<layer::LayerRequest>;

void add_layers(const store::Store& store, const spec::Digest& digest, LayerRequests& out) {
    auto text = store.blobs().read(digest);
    if (!text) return;
    auto manifest = spec::parse_manifest(*text);
    if (!manifest || !spec::is_config_type(manifest->config.media_type)) return;
    auto config_text = store.blobs().read(manifest->config.digest);
    if (!config_text) return;
    auto config = spec::parse_image_config(*config_text);
    if (!config) return;
    size_t count = std::min(manifest->layers.size(), config->diff_ids.size());
    for (size_t i = 0; i < count; ++i) {
        const auto& diff_id = config->diff_ids[i];
        bool known = std::any_of(out.begin(), out.end(),
                                 [&](const auto& one) { return one.diff_id == diff_id; });
        if (known || !store.blobs().has(manifest->layers[i].digest)) continue;
        layer::LayerRequest request;
        request.descriptor = manifest->layers[i];
        request.diff_id = diff_id;
        out.push_back(std::move(request));
    }
}

/// The unpacked layers, each once, with the blob they come from: what any manifest here tells,
/// also one without a name, for the next pull would take its layers as they are.
Result<LayerRequests> unpacked_layers(const store::Store& store) {
    constexpr uint64_t kLargestManifest = 8U << 20U;
    LayerRequests out;
    for (const auto& blob : TRY(store.blobs().list()))
        if (blob.size <= kLargestManifest) add_layers(store, blob.digest, out);
    std::erase_if(out, [&](const auto& one) { return !store.layers().has(one.diff_id); });
    return out;
}

struct Comparison {
    size_t faults = 0;  ///< that stay
    size_t mended = 0;
};

/// Counts and tells of one comparison.
Result<void> tell(const std::string& what, const Result<layer::VerifyReport>& report,
                  Comparison& sum) {
    if (report && report->differences.empty()) return {};
    bool is_mended = report && report->was_repaired;
    ++(is_mended ? sum.mended : sum.faults);
    std::string detail = report ? join(report->differences, ", ") + (is_mended ? " (mended)" : "")
                                : report.error().to_string();
    return Context::print(what + ": " + detail + "\n");
}

/// Layers that no manifest here tells the blob of: nothing to compare them with. With `repair`
/// those go that nothing needs; the others are the ground of containers whose image was removed.
Result<void> treat_uncompared(const store::Store& store, const LayerRequests& compared,
                              bool repair) {
    std::vector<spec::Digest> rest = TRY(store.layers().list());
    std::erase_if(rest, [&](const spec::Digest& diff_id) {
        return std::any_of(compared.begin(), compared.end(),
                           [&](const auto& one) { return one.diff_id == diff_id; });
    });
    if (repair && !rest.empty()) rest = TRY(store::drop_unneeded_layers(store, rest));
    if (!rest.empty())
        log::warning(
            std::to_string(rest.size()) +
            " layers could not be compared: no manifest here names them; what no container "
            "needs of them goes with --repair, or with hull image prune");
    return {};
}

/// Compares the trees with their blobs, and the chains with their trees; with `repair` what is
/// damaged is made anew.
Result<Comparison> check_trees(Workshop& shop, bool repair) {
    const store::Store& store = shop.store();
    Comparison sum;
    LayerRequests layers = TRY(unpacked_layers(store));
    for (auto& request : layers) {
        if (Context::cancelled().load()) return fail(Errc::cancelled, "interrupted");
        auto report = layer::verify_layer(store, shop.lease(), request, repair);
        TRY(tell("corrupt layer " + request.diff_id.to_string(), report, sum));
    }
    TRY(treat_uncompared(store, layers, repair));
    for (const auto& chain : TRY(store::needed_chains(store))) {
        bool is_here = std::all_of(chain.begin(), chain.end(),
                                   [&](const auto& one) { return store.layers().has(one); });
        if (!is_here) continue;  // told of already
        auto report = layer::verify_chain(store, chain, repair);
        std::string name = base_name(store.layers().chain_directory(chain));
        TRY(tell("bad chain " + name, report, sum));
    }
    return sum;
}

/// Fetches what an image lacks: unpacks from its own blobs, else from its registry, by digest.
Result<void> mend(Context& context, Workshop& shop, const store::ReferenceEntry& entry,
                  bool all_platforms) {
    registry::StoreTargetOptions options;
    options.cancelled = &Context::cancelled();
    auto target = registry::open_store_target(shop.store(), shop.lease(), options);
    registry::TransferOptions transfer;
    transfer.progress = &context.progress();
    transfer.cancelled = &Context::cancelled();
    transfer.all_platforms = all_platforms;
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

/// Removes what is damaged, so that it can be fetched or made again.
/// @return  the blobs that were removed
Result<std::set<spec::Digest>> remove_damaged(const store::Store& store,
                                              const std::vector<Damage>& found) {
    std::set<spec::Digest> removed;
    for (const auto& damage : found) {
        if (!damage.chain.empty()) TRY(store.layers().remove_chain(damage.chain));
        if (damage.digest.is_empty()) continue;
        if (damage.kind == Damage::Kind::corrupt_blob ||
            damage.kind == Damage::Kind::bad_document) {
            TRY(store.blobs().remove(damage.digest));
            removed.insert(damage.digest);
        }
        if (damage.kind == Damage::Kind::bad_record || damage.kind == Damage::Kind::corrupt_layer)
            TRY(store.layers().remove(damage.digest));
    }
    return removed;
}

/// What of `removed` the image lacks still: a platform's manifest that is not here is no damage by
/// itself, but it was here.
bool lacks_one_of(const store::Store& store, const store::ReferenceEntry& entry,
                  const std::set<spec::Digest>& removed) {
    store::Marks marks;
    store::mark_image(store, entry.digest, marks);
    return std::any_of(removed.begin(), removed.end(), [&](const spec::Digest& digest) {
        return marks.digests.contains(digest) && !store.blobs().has(digest);
    });
}

Result<size_t> mend_images(Context& context, Workshop& shop,
                           const std::set<spec::Digest>& removed) {
    const store::Store& store = shop.store();
    size_t lost = 0;
    for (const auto& entry : TRY(store.references().list())) {
        auto is_whole = [&] {
            return store::check_image(store, entry).empty() && !lacks_one_of(store, entry, removed);
        };
        if (is_whole()) continue;
        auto mended = mend(context, shop, entry, false);
        // The blobs of other platforms are here only where all were asked for.
        if (mended && !is_whole()) mended = mend(context, shop, entry, true);
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
    shop.use_layers();
    TRY(shop.confine());
    auto found = TRY(store::check_store(shop.store(), &layer::create_hasher));
    for (const auto& damage : found)
        TRY(Context::print(describe(damage) + "\n"));
    size_t bad = found.size();
    if (repair) {
        TRY(store::mend_records(shop.store()));
        bad = TRY(mend_images(context, shop, TRY(remove_damaged(shop.store(), found))));
        // What no image needs to be whole can be lost as well: a container's record.
        if (!found.empty())
            bad =
                std::max(bad, TRY(store::check_store(shop.store(), &layer::create_hasher)).size());
    }
    Comparison trees;
    if (!args.has("quick")) trees = TRY(check_trees(shop, repair));
    bad += trees.faults;
    bool was_whole = found.empty() && trees.mended == 0;
    if (bad == 0) return Context::print(was_whole ? "the store is whole\n" : "all is mended\n");
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
