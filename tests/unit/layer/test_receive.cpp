#include <unistd.h>

#include "base/fd.hpp"
#include "layer/archives.hpp"
#include "layer/compress.hpp"
#include "layer/hash.hpp"
#include "layer/receive.hpp"
#include "layer/verify.hpp"
#include "store/checksum.hpp"
#include "store/store.hpp"

using namespace hull;
using layer::Compression;
using layer::LayerReceiver;
using layer::LayerRequest;

namespace {

std::string compress(const std::string& text, Compression compression) {
    layer::TextSink sink;
    auto compressor = layer::create_compressor(compression, sink);
    REQUIRE(compressor->write(text));
    REQUIRE(compressor->finish());
    return sink.text;
}

/// 20 KB that hardly compress.
std::string noise(unsigned seed) {
    std::string text;
    while (text.size() < 20'000) {
        seed = seed * 1103515245U + 12345U;
        text.push_back(static_cast<char>(seed >> 16U));
    }
    return text;
}

struct Fixture {
    std::string path = "/tmp/hull-test-XXXXXX";
    std::optional<store::Store> store;
    std::optional<store::Lease> lease;
    std::string tar;
    std::string blob;
    LayerRequest request;

    explicit Fixture(Compression compression = Compression::gzip) {
        REQUIRE(::mkdtemp(path.data()) != nullptr);
        auto opened = store::Store::open(path + "/store");
        REQUIRE(opened);
        store.emplace(std::move(*opened));
        auto made = store->create_lease();
        REQUIRE(made);
        lease.emplace(std::move(*made));
        ArchiveBuilder builder;
        builder.folder("d").file("d/f", "hello");
        for (int i = 0; i < 60; ++i)
            builder.file("d/" + std::to_string(i), noise(static_cast<unsigned>(i)));
        tar = builder.build();
        blob = compress(tar, compression);
        request.descriptor.digest = layer::hash(blob);
        request.descriptor.size = blob.size();
        request.diff_id = layer::hash(tar);
        request.unpack.whiteouts = layer::WhiteoutForm::overlay_user;
        request.unpack.set_owners = false;
    }
    ~Fixture() {
        lease.reset();
        (void)remove_tree(path);
    }
    Fixture(const Fixture&) = delete;
    Fixture& operator=(const Fixture&) = delete;

    std::unique_ptr<LayerReceiver> start() const {
        auto receiver = LayerReceiver::start(*store, *lease, request);
        REQUIRE(receiver);
        return std::move(*receiver);
    }
    Result<layer::LayerResult> receive(const std::string& bytes, size_t step = 5000) const {
        auto receiver = start();
        for (size_t i = receiver->offset(); i < bytes.size(); i += step)
            TRY(receiver->write(std::string_view{bytes}.substr(i, step)));
        return receiver->finish();
    }
    size_t count(const char* folder) const {
        return list_directory(store->root() + "/" + folder)->size();
    }
    void check_nothing_is_there() const {
        CHECK(count("blobs/sha256") == 0);
        CHECK(count("layers/sha256") == 0);
        CHECK(count("staging") == 0);
    }
};

}  // namespace

TEST_CASE("a layer becomes a blob and a tree in one pass") {
    for (Compression compression : {Compression::none, Compression::gzip, Compression::zstd}) {
        Fixture at{compression};
        auto result = at.receive(at.blob);
        REQUIRE(result);
        CHECK(result->tar_bytes == at.tar.size());
        CHECK(result->report.entries == 62);
        CHECK(at.store->blobs().has(at.request.descriptor.digest, at.blob.size()));
        REQUIRE(at.store->layers().has(at.request.diff_id));
        CHECK(*read_file(at.store->layers().tree_path(at.request.diff_id) + "/d/f") == "hello");
        CHECK(at.count("staging") == 0);
        CHECK(at.count("partial") == 0);
        auto again = at.start();
        CHECK(again->is_complete());
        CHECK(again->finish()->was_present);
    }
}

TEST_CASE("bytes that do not have the digest never become part of the store") {
    Fixture at;
    std::string wrong = at.blob;
    wrong[wrong.size() - 1] = static_cast<char>(wrong[wrong.size() - 1] ^ 1);
    auto result = at.receive(wrong);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::corrupt);
    at.check_nothing_is_there();
    CHECK(at.count("partial") == 0);
    CHECK(at.receive(at.blob));
}

TEST_CASE("a layer whose archive is not what the configuration says is refused") {
    Fixture at;
    at.request.diff_id = layer::hash("another");
    auto result = at.receive(at.blob);
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::corrupt);
    CHECK(result.error().message.find("diff id") != std::string::npos);
    at.check_nothing_is_there();
}

TEST_CASE("an interrupted layer is continued where it stopped") {
    Fixture at;
    size_t half = at.blob.size() / 2;
    auto cut = at.receive(at.blob.substr(0, half));
    REQUIRE_FALSE(cut);
    CHECK(cut.error().code == Errc::io);
    CHECK(cut.error().message.find(std::to_string(half)) != std::string::npos);
    at.check_nothing_is_there();
    CHECK(at.start()->offset() == half);
    CHECK(at.receive(at.blob));
    CHECK(at.store->layers().has(at.request.diff_id));
}

TEST_CASE("a continued layer can be begun again when the server cannot go on") {
    Fixture at;
    (void)at.receive(at.blob.substr(0, at.blob.size() / 2));
    auto receiver = at.start();
    REQUIRE(receiver->restart());
    CHECK(receiver->offset() == 0);
    REQUIRE(receiver->write(at.blob));
    CHECK(receiver->finish());
}

TEST_CASE("more bytes than the manifest says are refused") {
    Fixture at;
    auto result = at.receive(at.blob + "more");
    REQUIRE_FALSE(result);
    CHECK(result.error().code == Errc::invalid);
    at.check_nothing_is_there();
}

TEST_CASE("a receiver that is dropped in the middle leaves no tree") {
    Fixture at;
    {
        auto receiver = at.start();
        REQUIRE(receiver->write(std::string_view{at.blob}.substr(0, 1000)));
    }
    at.check_nothing_is_there();
}

TEST_CASE("a tree that was lost is unpacked again from its blob") {
    Fixture at;
    REQUIRE(at.receive(at.blob));
    REQUIRE(at.store->layers().remove(at.request.diff_id));
    auto again = layer::unpack_stored_layer(*at.store, *at.lease, at.request);
    REQUIRE(again);
    CHECK_FALSE(again->was_present);
    CHECK(at.store->layers().has(at.request.diff_id));
}

TEST_CASE("a layer of unknown digest is stored, as it is or compressed") {
    for (std::optional<Compression> wanted :
         {std::optional<Compression>{}, std::optional{Compression::zstd}}) {
        Fixture at;
        layer::TextSource source{at.blob};
        layer::NewLayerRequest request;
        request.recompress = wanted;
        request.unpack = at.request.unpack;
        auto made = layer::receive_new_layer(*at.store, *at.lease, source, request);
        REQUIRE(made);
        CHECK(made->result.diff_id == at.request.diff_id);
        CHECK(at.store->blobs().has(made->descriptor.digest, made->descriptor.size));
        CHECK(at.store->layers().has(at.request.diff_id));
        if (!wanted) CHECK(made->descriptor.digest == at.request.descriptor.digest);
        CHECK(made->descriptor.media_type ==
              (wanted ? spec::media::kOciLayerZstd : spec::media::kOciLayerGzip));
    }
}

TEST_CASE("a flipped byte in a tree is found and repaired from its blob") {
    Fixture at;
    REQUIRE(at.receive(at.blob));
    auto sound = layer::verify_layer(*at.store, *at.lease, at.request, false);
    REQUIRE(sound);
    CHECK(sound->differences.empty());
    std::string file = at.store->layers().tree_path(at.request.diff_id) + "/d/f";
    struct stat before{};
    REQUIRE(::stat(file.c_str(), &before) == 0);
    {
        auto damaged = open_path(file, O_WRONLY);
        REQUIRE(damaged);
        REQUIRE(write_all(damaged->get(), "j"));
        timespec times[2] = {before.st_atim, before.st_mtim};
        REQUIRE(::futimens(damaged->get(), times) == 0);
    }
    auto found = layer::verify_layer(*at.store, *at.lease, at.request, true);
    REQUIRE(found);
    CHECK(found->differences == std::vector<std::string>{"d/f"});
    CHECK(found->was_repaired);
    CHECK(*read_file(file) == "hello");
    CHECK(layer::verify_layer(*at.store, *at.lease, at.request, false)->differences.empty());
}

TEST_CASE("after a restart of the machine a tree counts when it has all its names and sizes") {
    Fixture at;
    REQUIRE(at.receive(at.blob));
    std::string folder = parent_path(at.store->layers().tree_path(at.request.diff_id));
    // As if the machine had been started again since.
    std::string record{store::without_checksum(*read_file(folder + "/record"))};
    size_t boot = record.find("boot-id ");
    REQUIRE(boot != std::string::npos);
    record.replace(boot, record.find('\n', boot) - boot, "boot-id another");
    REQUIRE(write_file_atomically(folder + "/record", store::with_checksum(record)));

    SUBCASE("whole") {
        CHECK(at.store->layers().has(at.request.diff_id));
        CHECK(path_exists(folder + "/durable"));
    }
    SUBCASE("a file lost its bytes with the power") {
        REQUIRE(::truncate((folder + "/tree/d/f").c_str(), 0) == 0);
        CHECK_FALSE(at.store->layers().has(at.request.diff_id));
        // The next pull unpacks it from the blob that is here.
        REQUIRE(at.start()->is_complete());
        CHECK(at.store->layers().has(at.request.diff_id));
        CHECK(*read_file(folder + "/tree/d/f") == "hello");
    }
    SUBCASE("a file is missing") {
        REQUIRE(::unlink((folder + "/tree/d/1").c_str()) == 0);
        CHECK_FALSE(at.store->layers().has(at.request.diff_id));
    }
    SUBCASE("flushed for good before") {
        REQUIRE(write_file_atomically(folder + "/durable", ""));
        CHECK(at.store->layers().has(at.request.diff_id));
    }
}
