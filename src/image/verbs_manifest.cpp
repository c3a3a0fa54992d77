// Manifest lists in the store: made, added to, annotated, pushed.

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "image/transfer_options.hpp"
#include "layer/hash.hpp"

namespace hull::image {
namespace {

/// A list of the store, locked against other commands that change one.
class StoredList {
  public:
    static Result<StoredList> open(const store::Store& store, const std::string& name,
                                   bool must_exist) {
        auto reference = TRY(spec::parse_reference(name));
        StoredList out{store, reference.to_string(),
                       TRY(LockFile::acquire(join_path(store.root(), "manifest-lists.lock")))};
        auto entry = TRY(store.references().find(out.name_));
        if (!entry && must_exist)
            return fail(Errc::not_found, "no manifest list " + out.name_,
                        "make it first: hull manifest create " + name);
        if (!entry) return out;
        if (!spec::is_index_type(entry->media_type))
            return fail(Errc::conflict, out.name_ + " is an image, not a manifest list",
                        "give the list another name");
        out.exists_ = true;
        out.index =
            TRY(spec::parse_index(TRY(store.blobs().read(entry->digest)), entry->media_type));
        return out;
    }

    bool exists() const { return exists_; }
    const std::string& name() const { return name_; }

    Result<registry::ManifestData> data() const {
        registry::ManifestData out{spec::format_index(index), index.media_type, {}};
        out.digest = layer::hash(out.bytes);
        return out;
    }

    Result<spec::Digest> save(const store::Lease& lease) const {
        auto whole = TRY(data());
        TRY(lease.add(whole.digest));
        TRY(store_->blobs().put(whole.digest, whole.bytes));
        TRY(store_->references().set(
            store::ReferenceEntry{name_, whole.digest, whole.media_type, whole.bytes.size(), {}}));
        return whole.digest;
    }

    spec::Index index;

  private:
    StoredList(const store::Store& store, std::string name, LockFile lock)
        : store_(&store), name_(std::move(name)), lock_(std::move(lock)) {}
    const store::Store* store_;
    std::string name_;
    LockFile lock_;
    bool exists_ = false;
};

void put_entry(spec::Index& index, spec::Descriptor entry) {
    std::erase_if(index.manifests, [&](const auto& old) { return old.digest == entry.digest; });
    index.manifests.push_back(std::move(entry));
}

/// Fetches an image's manifests and blobs into the store and answers what the list shall hold.
Result<std::vector<spec::Descriptor>> fetch_entries(Workshop& shop, Place& place,
                                                    registry::TransferOptions options) {
    auto source = TRY(shop.open_source(place, options.platform));
    registry::StoreTargetOptions target_options;
    target_options.unpack = false;
    auto target = registry::open_store_target(shop.store(), shop.lease(), target_options);
    auto done = TRY(registry::transfer_image(*source, *target, options));
    if (options.all_platforms && spec::is_index_type(done.top.media_type))
        return TRY(spec::parse_index(done.top.bytes, done.top.media_type)).manifests;
    spec::Descriptor entry{done.chosen.media_type, done.chosen.digest, done.chosen.bytes.size()};
    auto manifest = TRY(spec::parse_manifest(done.chosen.bytes, done.chosen.media_type));
    if (spec::is_config_type(manifest.config.media_type)) {
        auto config =
            TRY(spec::parse_image_config(TRY(shop.store().blobs().read(manifest.config.digest))));
        entry.platform = config.platform;
    }
    return std::vector{entry};
}

/// --os, --arch, --variant, --os-version, --annotation.
Result<void> annotate_entry(const ParsedArgs& args, spec::Descriptor& entry) {
    auto platform = entry.platform.value_or(spec::Platform{});
    auto take = [&](std::string_view option, std::string& field) {
        if (auto value = args.find(option)) field = *value;
    };
    take("os", platform.os);
    take("arch", platform.architecture);
    take("variant", platform.variant);
    take("os-version", platform.os_version);
    if (!platform.architecture.empty()) entry.platform = platform;
    for (const auto& text : args.all("annotation")) {
        size_t equals = text.find('=');
        if (equals == 0 || equals == std::string::npos)
            return fail(Errc::invalid, "--annotation " + quote(text) + ": must be NAME=VALUE");
        entry.annotations[text.substr(0, equals)] = text.substr(equals + 1);
    }
    return {};
}

Result<void> add_images(Context& context, Workshop& shop, const ParsedArgs& args,
                        std::vector<Place>& places, StoredList& list) {
    auto options = TRY(parse_transfer_options(args));
    options.progress = &context.progress();
    for (auto& place : places)
        for (auto& entry : TRY(fetch_entries(shop, place, options))) {
            TRY(annotate_entry(args, entry));
            put_entry(list.index, std::move(entry));
        }
    return {};
}

Result<void> finish(Context& context, const StoredList& list, const spec::Digest& digest) {
    context.add_result({list.name(), digest.to_string(), ""});
    return Context::print(digest.to_string() + "\n");
}

/// create LIST [IMAGE…] and add LIST IMAGE…
Result<void> change(Context& context, const ParsedArgs& args, bool create) {
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start(args.get("policy"), args.get("registries.d")));
    std::vector<Place> places;
    for (size_t i = 1; i < args.positionals.size(); ++i)
        places.push_back(TRY(shop.prepare_source(args.positionals[i])));
    TRY(shop.confine());
    auto list = TRY(StoredList::open(shop.store(), args.positionals[0], !create));
    if (create && list.exists() && !args.has("amend"))
        return fail(Errc::exists, "the manifest list " + list.name() + " is there already",
                    "add to it with: hull manifest add, or give --amend");
    TRY(add_images(context, shop, args, places, list));
    auto digest = TRY(list.save(shop.lease()));
    return finish(context, list, digest);
}

Result<void> create(Context& context, const ParsedArgs& args) {
    return change(context, args, true);
}
Result<void> add(Context& context, const ParsedArgs& args) {
    return change(context, args, false);
}

/// The entry that a digest, or an image of the store, stands for.
Result<spec::Descriptor*> find_entry(const store::Store& store, StoredList& list,
                                     const std::string& text) {
    auto digest = spec::Digest::parse(text);
    spec::Digest wanted = digest ? *digest : TRY(find_stored(store, text)).target.digest;
    for (auto& entry : list.index.manifests)
        if (entry.digest == wanted) return &entry;
    return fail(Errc::not_found, list.name() + " does not hold " + text,
                "see: hull manifest inspect " + list.name());
}

Result<void> annotate(Context& context, const ParsedArgs& args) {
    Workshop shop{context, {}};
    TRY(shop.start("", ""));
    TRY(shop.confine());
    auto list = TRY(StoredList::open(shop.store(), args.positionals[0], true));
    auto* entry = TRY(find_entry(shop.store(), list, args.positionals[1]));
    TRY(annotate_entry(args, *entry));
    auto digest = TRY(list.save(shop.lease()));
    return finish(context, list, digest);
}

Result<void> remove_entry(Context& context, const ParsedArgs& args) {
    Workshop shop{context, {}};
    TRY(shop.start("", ""));
    TRY(shop.confine());
    auto list = TRY(StoredList::open(shop.store(), args.positionals[0], true));
    auto* entry = TRY(find_entry(shop.store(), list, args.positionals[1]));
    spec::Digest gone = entry->digest;
    std::erase_if(list.index.manifests, [&](const auto& one) { return one.digest == gone; });
    auto digest = TRY(list.save(shop.lease()));
    return finish(context, list, digest);
}

Result<void> remove_list(Context& context, const ParsedArgs& args) {
    auto store = TRY(context.open_store());
    for (const auto& name : args.positionals) {
        // The lock ends before the next list's begins: a process cannot wait for itself.
        auto list = TRY(StoredList::open(store, name, true));
        TRY(store.references().remove(list.name()));
        TRY(Context::print("Removed: " + list.name() + "\n"));
    }
    return {};
}

Result<void> push(Context& context, const ParsedArgs& args) {
    auto options = TRY(parse_transfer_options(args));
    options.all_platforms = true;
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start("", ""));
    std::string name = args.positionals[0];
    std::string where = args.positionals.size() > 1 ? args.positionals[1] : name;
    if (TRY(parse_location(where)).transport == Location::Transport::store)
        where = "docker://" + where;
    auto from = TRY(shop.prepare_source("store:" + name));
    auto to = TRY(shop.prepare_target(where));
    TRY(shop.confine());
    options.progress = &context.progress();
    auto source = TRY(shop.open_source(from, options.platform));
    auto target = TRY(shop.open_target(to, {}));
    auto done = TRY(registry::transfer_image(*source, *target, options));
    if (args.has("rm")) {
        auto list = TRY(StoredList::open(shop.store(), name, true));
        TRY(shop.store().references().remove(list.name()));
    }
    context.add_result({to.location.to_string(), done.top.digest.to_string(), ""});
    return Context::print(done.top.digest.to_string() + "\n");
}

Result<void> inspect(Context& context, const ParsedArgs& args) {
    Workshop shop{context, TRY(parse_access_options(args))};
    TRY(shop.start("", ""));
    auto place = TRY(shop.prepare_source(args.positionals[0]));
    TRY(shop.confine());
    auto source = TRY(shop.open_source(place, spec::host_platform()));
    return Context::print(TRY(source->top_manifest()).bytes + "\n");
}

std::vector<OptionSpec> entry_options(std::vector<OptionSpec> own) {
    for (const OptionSpec& one :
         std::vector<OptionSpec>{{"os", 0, "NAME", "operating system of the entry"},
                                 {"arch", 0, "NAME", "its architecture"},
                                 {"variant", 0, "NAME", "its variant"},
                                 {"os-version", 0, "TEXT", "its version of the system"},
                                 {"annotation", 0, "NAME=VALUE", "an annotation of the entry"}})
        own.push_back(one);
    return own;
}

std::vector<OptionSpec> add_options(std::vector<OptionSpec> own) {
    for (const auto& one : transfer_options())
        own.push_back(one);
    return with_policy_options(entry_options(std::move(own)));
}

}  // namespace

std::vector<Verb> manifest_verbs() {
    return {
        {"manifest create", "LIST [IMAGE…]", "Make a manifest list",
         add_options({{"amend", 0, "", "add to a list that is there already"}}), &create, 1, 1000},
        {"manifest add", "LIST IMAGE…", "Add images to a manifest list", add_options({}), &add, 2,
         1000},
        {"manifest annotate", "LIST IMAGE|DIGEST", "Change an entry of a manifest list",
         entry_options({}), &annotate, 2, 2},
        {"manifest inspect", "LIST|docker://NAME", "Show a manifest or list as it is",
         with_registry_options({}), &inspect, 1, 1},
        {"manifest push", "LIST [docker://NAME]", "Send a list and all of its images",
         with_registry_options([] {
             auto options = transfer_options();
             options.push_back({"rm", 0, "", "remove the list from the store afterwards"});
             return options;
         }()),
         &push, 1, 2},
        {"manifest remove",
         "LIST IMAGE|DIGEST",
         "Take an entry out of a manifest list",
         {},
         &remove_entry,
         2,
         2},
        {"manifest rm", "LIST…", "Remove manifest lists", {}, &remove_list, 1, 1000},
    };
}

}  // namespace hull::image
