// Images, as far as they meet containers: removal.

#include "base/text.hpp"
#include "engine/engine.hpp"
#include "store/collect.hpp"
#include "store/short_names.hpp"

namespace hull::engine {
namespace {

/// Whether `text` names the image by a name (and which), not by its id.
std::optional<std::string> named_as(const store::Store& store, const store::Image& image,
                                    const std::string& text) {
    auto reference = store::resolve_name(store, text);
    if (!reference) return std::nullopt;
    for (const auto& name : image.names)
        if (name == reference->to_string()) return name;
    return std::nullopt;
}

}  // namespace

Result<std::vector<std::string>> Engine::remove_image(const std::string& text, bool force) {
    store::Store* images = TRY(store());
    auto image = TRY(store::find_image(*images, text));
    auto name = named_as(*images, image, text);
    std::vector<std::string> doomed = name ? std::vector<std::string>{*name} : image.names;
    if (!name && image.names.size() > 1 && !force)
        return fail(Errc::conflict,
                    "image " + image.id.short_hex() + " has " + std::to_string(image.names.size()) +
                        " names",
                    "remove them one by one, or all with -f");
    bool loses_last = doomed.size() == image.names.size();
    auto users = TRY(database_.users_of_image(image.id.to_string()));
    if (loses_last && !users.empty() && !force) {
        auto user = TRY(database_.get(users.front()));
        return fail(Errc::conflict,
                    "image " + text + " is being used by container " +
                        (user ? user->name : users.front().substr(0, 12)),
                    "hull rm it first, or remove the name alone with -f");
    }
    std::vector<std::string> out;
    for (const auto& one : doomed) {
        if (TRY(images->references().remove(one))) out.push_back("Untagged: " + one);
    }
    if (!loses_last) return out;
    out.push_back("Deleted: " + image.id.to_string());
    std::vector<spec::Digest> keep;
    for (const auto& digest : TRY(database_.images_in_use()))
        if (auto parsed = spec::Digest::parse(digest)) keep.push_back(*parsed);
    if (settings_.is_rootless) {
        TRY(run_in_user_namespace([&]() -> Result<void> {
            TRY(store::collect(*images, {.keep = keep}));
            return {};
        }));
    } else {
        TRY(store::collect(*images, {.keep = keep}));
    }
    return out;
}

}  // namespace hull::engine
