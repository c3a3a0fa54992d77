#include <sys/stat.h>
#include <unistd.h>

#include "spec/image.hpp"
#include "store/collect.hpp"
#include "store/images.hpp"
#include "store/snapshots.hpp"
#include "store/temporary_store.hpp"

using namespace hull;

namespace {

/// An image of one hand-made layer: manifest 'digit'1.., config, blob, tree.
spec::Digest add_image(const store::Store& store, const std::string& name, char digit) {
    spec::Digest layer = *spec::Digest::parse("sha256:" + std::string(63, digit) + "1");
    spec::Digest config_digest = *spec::Digest::parse("sha256:" + std::string(63, digit) + "2");
    spec::Digest manifest_digest = *spec::Digest::parse("sha256:" + std::string(63, digit) + "3");
    add_layer(store, digit, "file");
    spec::ImageConfig config;
    config.platform = spec::host_platform();
    config.diff_ids = {digest_of(digit)};
    std::string config_text = spec::format_image_config(config);
    spec::Manifest manifest;
    manifest.config = {.media_type = std::string{spec::media::kOciConfig},
                       .digest = config_digest,
                       .size = config_text.size()};
    manifest.layers = {
        {.media_type = std::string{spec::media::kOciLayer}, .digest = layer, .size = 5}};
    std::string text = spec::format_manifest(manifest);
    REQUIRE(store.blobs().put(layer, "layer"));
    REQUIRE(store.blobs().put(config_digest, config_text));
    REQUIRE(store.blobs().put(manifest_digest, text));
    REQUIRE(store.references().set(
        {name, manifest_digest, std::string{spec::media::kOciManifest}, text.size(), {}}));
    return manifest_digest;
}

size_t count_blobs(const store::Store& store) {
    return store.blobs().list()->size();
}

}  // namespace

TEST_CASE("collect keeps what names, snapshots and leases need, and frees the rest") {
    TemporaryStore folder;
    store::Store store = folder.open();
    add_image(store, "docker.io/library/a:1", 'a');
    spec::Digest b = add_image(store, "docker.io/library/b:1", 'b');
    REQUIRE(store::collect(store));
    CHECK(count_blobs(store) == 6);
    CHECK(store.layers().list()->size() == 2);

    REQUIRE(store::Snapshots{store}.create({"c1", {digest_of('a')}}));
    REQUIRE(store.references().remove("docker.io/library/a:1"));
    REQUIRE(store::collect(store));
    CHECK(count_blobs(store) == 3);
    CHECK(store.layers().has(digest_of('a')));  // the snapshot's

    REQUIRE(store::Snapshots{store}.remove("c1"));
    REQUIRE(store.references().remove("docker.io/library/b:1"));
    REQUIRE(store::collect(store, {.keep = {b}}));
    CHECK(count_blobs(store) == 3);
    CHECK(store.layers().list()->size() == 1);
    auto report = store::collect(store);
    REQUIRE(report);
    CHECK(report->blobs == 3);
    CHECK(report->layers == 1);
    CHECK(report->freed.value > 0);
    CHECK(count_blobs(store) == 0);
    CHECK(store.layers().list()->empty());
    CHECK(list_directory(store.root() + "/trash")->empty());
}

TEST_CASE("a lease protects what has no name yet, as long as its process lives") {
    TemporaryStore folder;
    store::Store store = folder.open();
    {
        auto lease = store.create_lease();
        REQUIRE(lease);
        REQUIRE(lease->add(digest_of('a')));
        REQUIRE(store.blobs().put(digest_of('a'), "x"));
        REQUIRE(store::collect(store));
        CHECK(store.blobs().has(digest_of('a')));
    }
    REQUIRE(store::collect(store));
    CHECK_FALSE(store.blobs().has(digest_of('a')));
    // One that a killed process left: nobody holds its lock.
    REQUIRE(write_file_atomically(store.root() + "/leases/1-1", digest_of('b').to_string()));
    REQUIRE(store.blobs().put(digest_of('b'), "x"));
    REQUIRE(store::collect(store));
    CHECK_FALSE(store.blobs().has(digest_of('b')));
    CHECK(list_directory(store.root() + "/leases")->empty());
}

TEST_CASE("what killed processes left is removed, what is being written stays") {
    TemporaryStore folder;
    store::Store store = folder.open();
    auto staged = store.layers().create_staging();
    REQUIRE(staged);
    auto writer = store.blobs().create(digest_of('a'));
    REQUIRE(create_directories(store.root() + "/staging/left/tree"));
    REQUIRE(create_directories(store.root() + "/staging/snapshot-half-1"));
    REQUIRE(write_file_atomically(store.root() + "/partial/new-1-1", "x"));
    REQUIRE(store::collect(store, {.partial_age = std::chrono::seconds(0)}));
    CHECK(path_exists(staged->path()));
    CHECK_FALSE(path_exists(store.root() + "/staging/left"));
    CHECK_FALSE(path_exists(store.root() + "/staging/snapshot-half-1"));
    CHECK(list_directory(store.root() + "/partial")->size() == 1);
}

TEST_CASE("an interrupted download stays for a day") {
    TemporaryStore folder;
    store::Store store = folder.open();
    {
        REQUIRE((**store.blobs().create(digest_of('a'))).write("x"));
    }
    REQUIRE(store::collect(store));
    CHECK(list_directory(store.root() + "/partial")->size() == 1);
    REQUIRE(store::collect(store, {.partial_age = std::chrono::seconds(0)}));
    CHECK(list_directory(store.root() + "/partial")->empty());
}

TEST_CASE("images are found by name, id, and a beginning of an id that is theirs alone") {
    TemporaryStore folder;
    store::Store store = folder.open();
    add_image(store, "docker.io/library/deb:12", 'a');
    add_image(store, "docker.io/library/deb:13", 'b');
    auto by_name = store::find_image(store, "deb:12");
    REQUIRE(by_name);
    CHECK(by_name->size == 7);
    CHECK(by_name->names == std::vector<std::string>{"docker.io/library/deb:12"});
    CHECK(store::find_image(store, "aaaa")->id == by_name->id);
    CHECK(store::find_image(store, by_name->id.to_string())->id == by_name->id);
    CHECK(store::find_image(store, "deb").error().code == Errc::not_found);
    CHECK(store::find_image(store, "ffff").error().code == Errc::not_found);
    CHECK(store::find_image(store, "Bad Name").error().code == Errc::invalid);
    CHECK(store::list_images(store)->size() == 2);
}

TEST_CASE("the budget drops what was unused longest, and never what is in use") {
    TemporaryStore folder;
    store::Store store = folder.open();
    spec::Digest a = add_image(store, "docker.io/library/a:1", 'a');
    add_image(store, "docker.io/library/b:1", 'b');
    spec::Digest c = add_image(store, "docker.io/library/c:1", 'c');
    REQUIRE(store::touch_image(store, c));
    REQUIRE(store::touch_image(store, a));
    auto usage = store::disk_usage(store);
    REQUIRE(usage);
    uint64_t all = usage->blobs.value + usage->layers.value;
    auto dropped = store::keep_budget(store, Bytes{all - 1}, {});
    REQUIRE(dropped);
    CHECK(dropped->size() == 1);
    auto rest = store::keep_budget(store, Bytes{0}, {a});
    REQUIRE(rest);
    auto left = store.references().list();
    REQUIRE(left->size() == 1);
    CHECK((*left)[0].name == "docker.io/library/a:1");
}
