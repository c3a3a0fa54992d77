#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/fd.hpp"
#include "layer/archive.hpp"
#include "layer/archives.hpp"
#include "layer/hash.hpp"
#include "store/check.hpp"
#include "store/images.hpp"

using namespace hull;

namespace {

/// A store with one imported image.
struct Imported {
    std::string path = "/tmp/hull-test-XXXXXX";
    std::optional<store::Store> store;
    std::optional<store::Lease> lease;
    store::Image image;

    Imported() {
        REQUIRE(::mkdtemp(path.data()) != nullptr);
        store.emplace(*store::Store::open(path + "/store"));
        lease.emplace(*store->create_lease());
        REQUIRE(write_file_atomically(
            path + "/root.tar", ArchiveBuilder{}.file("etc/name", "hello").link("l", "x").build()));
        auto file = open_path(path + "/root.tar", O_RDONLY);
        layer::ImportOptions how;
        how.unpack.whiteouts = layer::WhiteoutForm::overlay_user;
        how.unpack.set_owners = false;
        auto loaded = layer::import_root_filesystem(*store, *lease, file->get(), how);
        REQUIRE(loaded);
        REQUIRE(store->references().set({"docker.io/library/a:1",
                                         loaded->target.digest,
                                         loaded->target.media_type,
                                         loaded->target.size,
                                         {}}));
        auto found = store::find_image(*store, "a:1");
        REQUIRE(found);
        image = std::move(*found);
    }
    ~Imported() {
        lease.reset();
        (void)remove_tree(path);
    }
    Imported(const Imported&) = delete;
    Imported& operator=(const Imported&) = delete;

    std::vector<store::Damage> check() const {
        auto found = store::check_store(*store, &layer::create_hasher);
        REQUIRE(found);
        return std::move(*found);
    }
    std::string blob(const spec::Digest& digest) const { return store->blobs().path(digest); }
};

void flip_last_byte(const std::string& path) {
    std::string text = *read_file(path);
    text.back() = static_cast<char>(text.back() ^ 1);
    REQUIRE(write_file_atomically(path, text));
}

}  // namespace

TEST_CASE("a sound store has nothing to tell") {
    Imported at;
    CHECK(at.check().empty());
}

TEST_CASE("every damage is found, with the image that suffers") {
    Imported at;
    const spec::Digest layer = at.image.manifest.layers[0].digest;
    const spec::Digest diff_id = at.image.config.diff_ids[0];

    SUBCASE("a flipped byte in a blob") {
        flip_last_byte(at.blob(layer));
        auto found = at.check();
        REQUIRE(found.size() == 1);
        CHECK(found[0].kind == store::Damage::Kind::corrupt_blob);
        CHECK(found[0].digest == layer);
    }
    SUBCASE("a blob that is cut short") {
        REQUIRE(::truncate(at.blob(layer).c_str(), 3) == 0);
        auto found = at.check();
        REQUIRE(found.size() == 1);
        CHECK(found[0].kind == store::Damage::Kind::corrupt_blob);
    }
    SUBCASE("a missing layer blob") {
        REQUIRE(at.store->blobs().remove(layer));
        auto found = at.check();
        REQUIRE(found.size() == 1);
        CHECK(found[0].kind == store::Damage::Kind::missing_blob);
        CHECK(found[0].image == "docker.io/library/a:1");
    }
    SUBCASE("a missing configuration") {
        REQUIRE(at.store->blobs().remove(at.image.id));
        REQUIRE(at.check().size() == 1);
        CHECK(at.check()[0].digest == at.image.id);
    }
    SUBCASE("a missing manifest") {
        REQUIRE(at.store->blobs().remove(at.image.manifest_digest));
        REQUIRE(at.check().size() == 1);
        CHECK(at.check()[0].kind == store::Damage::Kind::missing_blob);
    }
    SUBCASE("a missing tree") {
        REQUIRE(at.store->layers().remove(diff_id));
        REQUIRE(at.check().size() == 1);
        CHECK(at.check()[0].kind == store::Damage::Kind::missing_layer);
    }
    SUBCASE("a record that cannot be read") {
        std::string folder = parent_path(at.store->layers().tree_path(diff_id));
        REQUIRE(write_file_atomically(folder + "/record", "nonsense"));
        auto found = at.check();
        CHECK(std::any_of(found.begin(), found.end(), [](const store::Damage& damage) {
            return damage.kind == store::Damage::Kind::bad_record;
        }));
    }
}
