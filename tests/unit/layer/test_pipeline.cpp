#include <cstring>

#include "layer/archives.hpp"
#include "layer/compress.hpp"
#include "layer/hash.hpp"
#include "layer/pipeline.hpp"

using namespace hull;
using layer::Compression;
using layer::Pipeline;

namespace {

/// 8 MB in 41 files, far more than all queues hold; it compresses a little.
std::string large_archive() {
    ArchiveBuilder builder;
    std::string content(200'000, '\0');
    unsigned seed = 7;
    for (int file = 0; file < 41; ++file) {
        for (char& byte : content)
            byte = static_cast<char>((seed = seed * 1103515245U + 12345U) >> 22U);
        builder.file("d" + std::to_string(file % 3) + "/" + std::to_string(file), content);
    }
    return builder.build();
}

std::string compress(const std::string& text, Compression compression) {
    layer::TextSink sink;
    auto compressor = layer::create_compressor(compression, sink);
    REQUIRE(compressor->write(text));
    REQUIRE(compressor->finish());
    return sink.text;
}

Pipeline::Settings settings_for(const UnpackFolder& folder, size_t processors) {
    Pipeline::Settings settings;
    settings.tree = folder.root.get();
    settings.unpack.whiteouts = layer::WhiteoutForm::overlay_user;
    settings.unpack.set_owners = false;
    settings.processors = processors;
    return settings;
}

Result<void> push_all(Pipeline& pipeline, std::string_view bytes) {
    while (!bytes.empty()) {
        auto chunk = pipeline.take_chunk();
        chunk->size = std::min<size_t>(bytes.size(), 50'000);
        std::memcpy(chunk->data(), bytes.data(), chunk->size);
        bytes.remove_prefix(chunk->size);
        TRY(pipeline.push(std::move(chunk)));
    }
    return {};
}

}  // namespace

TEST_CASE("a pipeline gives the same with any number of processors") {
    std::string tar = large_archive();
    for (auto compression : {Compression::none, Compression::gzip, Compression::zstd}) {
        std::string blob = compress(tar, compression);
        for (size_t processors : {0U, 1U, 2U, 3U, 8U}) {
            CAPTURE(processors);
            UnpackFolder folder;
            auto pipeline = Pipeline::start(settings_for(folder, processors));
            REQUIRE(pipeline);
            REQUIRE(push_all(**pipeline, blob));
            auto outcome = (*pipeline)->finish();
            REQUIRE(outcome);
            CHECK(outcome->diff_id == layer::hash(tar));
            CHECK(outcome->tar_bytes == tar.size());
            CHECK(outcome->report.file_bytes == 41 * 200'000);
            CHECK(folder.stat("d1/40").st_size == 200'000);
        }
    }
}

TEST_CASE("pipelines beside each other get helpers when one has ended") {
    std::string tar = large_archive();
    std::string blob = compress(tar, Compression::zstd);
    std::array<UnpackFolder, 3> folders;
    std::vector<std::unique_ptr<Pipeline>> pipelines;
    for (const auto& folder : folders) {
        auto pipeline = Pipeline::start(settings_for(folder, 3));
        REQUIRE(pipeline);
        pipelines.push_back(std::move(*pipeline));
    }
    while (!pipelines.empty()) {
        REQUIRE(push_all(*pipelines.back(), blob));
        auto outcome = pipelines.back()->finish();
        REQUIRE(outcome);
        CHECK(outcome->diff_id == layer::hash(tar));
        pipelines.pop_back();
    }
}

TEST_CASE("a pipeline without a tree only takes the digest") {
    std::string tar = large_archive();
    for (size_t processors : {1U, 4U}) {
        Pipeline::Settings settings;
        settings.processors = processors;
        auto pipeline = Pipeline::start(settings);
        REQUIRE(pipeline);
        REQUIRE(push_all(**pipeline, compress(tar, Compression::gzip)));
        auto outcome = (*pipeline)->finish();
        REQUIRE(outcome);
        CHECK(outcome->diff_id == layer::hash(tar));
    }
}

TEST_CASE("a pipeline tells which stage failed, and waits for nobody") {
    std::string blob = compress(large_archive(), Compression::zstd);
    for (size_t processors : {1U, 2U, 4U}) {
        CAPTURE(processors);
        UnpackFolder folder;
        auto pipeline = Pipeline::start(settings_for(folder, processors));
        REQUIRE(pipeline);
        std::string damaged = blob;
        damaged[blob.size() / 2] = static_cast<char>(damaged[blob.size() / 2] + 1);
        (void)push_all(**pipeline, damaged);
        auto outcome = (*pipeline)->finish();
        REQUIRE_FALSE(outcome);
        CHECK(outcome.error().code == Errc::corrupt);
        CHECK(outcome.error().message.find("zstd") != std::string::npos);

        auto no_archive = Pipeline::start(settings_for(folder, processors));
        REQUIRE(no_archive);
        (void)push_all(**no_archive, std::string(8'000'000, 'x'));
        auto refused = (*no_archive)->finish();
        REQUIRE_FALSE(refused);
        CHECK(refused.error().message.find("tar") != std::string::npos);

        auto dropped = Pipeline::start(settings_for(folder, processors));
        REQUIRE(dropped);
        REQUIRE(push_all(**dropped, blob.substr(0, 100'000)));
    }
}
