#include "layer/pipeline.hpp"

#include <algorithm>
#include <span>
#include <system_error>

#include "layer/compress.hpp"
#include "layer/hash.hpp"
#include "layer/tar.hpp"

namespace hull::layer {
namespace {

constexpr size_t kQueued = 24;  // chunks in one queue of all pipelines together
constexpr size_t kLeastQueued = 2;

std::atomic<size_t> running_pipelines{0};

size_t queue_limit() {
    return std::max(kLeastQueued, kQueued / std::max<size_t>(running_pipelines.load(), 1));
}

/// The reading end of a queue as a stream.
class QueueSource final : public ByteSource {
  public:
    explicit QueueSource(ChunkQueue& queue) : queue_(&queue) {}
    Result<std::string_view> read() override {
        do {
            current_ = queue_->pop();
        } while (current_ && current_->size == 0);
        if (current_) return current_->view();
        if (queue_->is_abandoned()) return fail(Errc::cancelled, "unpacking was given up");
        return std::string_view{};
    }

  private:
    ChunkQueue* queue_;
    std::shared_ptr<Chunk> current_;
};

}  // namespace

std::shared_ptr<Chunk> ChunkPool::take() {
    std::unique_ptr<Chunk> chunk;
    {
        std::lock_guard lock{mutex_};
        if (!free_.empty()) {
            chunk = std::move(free_.back());
            free_.pop_back();
        }
    }
    if (!chunk) chunk = std::make_unique<Chunk>();
    chunk->size = 0;
    return {chunk.release(), [pool = shared_from_this()](Chunk* used) {
                std::unique_ptr<Chunk> owned{used};
                std::lock_guard lock{pool->mutex_};
                pool->free_.push_back(std::move(owned));
            }};
}

bool ChunkQueue::push(std::shared_ptr<Chunk> chunk) {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return abandoned_ || chunks_.size() < queue_limit(); });
    if (abandoned_) return false;
    chunks_.push_back(std::move(chunk));
    changed_.notify_all();
    return true;
}

void ChunkQueue::close() {
    std::lock_guard lock{mutex_};
    closed_ = true;
    changed_.notify_all();
}

std::shared_ptr<Chunk> ChunkQueue::pop() {
    std::unique_lock lock{mutex_};
    changed_.wait(lock, [&] { return abandoned_ || closed_ || !chunks_.empty(); });
    if (abandoned_ || chunks_.empty()) return nullptr;
    std::shared_ptr<Chunk> chunk = std::move(chunks_.front());
    chunks_.pop_front();
    changed_.notify_all();
    return chunk;
}

void ChunkQueue::abandon() {
    std::lock_guard lock{mutex_};
    abandoned_ = true;
    chunks_.clear();
    changed_.notify_all();
}

bool ChunkQueue::is_abandoned() {
    std::lock_guard lock{mutex_};
    return abandoned_;
}

Pipeline::Pipeline(const Settings& settings)
    : settings_(settings), pool_(std::make_shared<ChunkPool>()) {
    running_pipelines.fetch_add(1);
}

Result<std::unique_ptr<Pipeline>> Pipeline::start(const Settings& settings) {
    std::unique_ptr<Pipeline> pipeline{new Pipeline{settings}};
    try {
        Pipeline* self = pipeline.get();
        pipeline->threads_.emplace_back([self] { self->decompress(); });
        pipeline->threads_.emplace_back([self] { self->hash(); });
        if (settings.tree >= 0) pipeline->threads_.emplace_back([self] { self->unpack(); });
    } catch (const std::system_error& error) {
        return fail_errno(error.code().value(), "start a thread",
                          "the limit of processes (ulimit -u, pids cgroup) is reached");
    }
    return pipeline;
}

Pipeline::~Pipeline() {
    stop();
    for (std::thread& thread : threads_)
        if (thread.joinable()) thread.join();
    running_pipelines.fetch_sub(1);
}

void Pipeline::stop() {
    compressed_.abandon();
    to_hash_.abandon();
    to_unpack_.abandon();
}

void Pipeline::fail_with(Error error) {
    {
        std::lock_guard lock{mutex_};
        if (!error_) error_ = std::move(error);
    }
    stop();
}

Result<void> Pipeline::push(std::shared_ptr<Chunk> chunk) {
    if (compressed_.push(std::move(chunk))) return {};
    std::lock_guard lock{mutex_};
    return fail(error_.value_or(make_error(Errc::cancelled, "unpacking was given up")));
}

void Pipeline::decompress() {
    ThreadClock clock;
    QueueSource source{compressed_};
    auto run = [&]() -> Result<void> {
        std::unique_ptr<Decompressor> decompressor =
            TRY(create_decompressor(source, {&WindowBudget::of_layers(), settings_.tree}));
        for (;;) {
            std::shared_ptr<Chunk> chunk = pool_->take();
            chunk->size = TRY(decompressor->read_into(std::span{chunk->data(), Chunk::kCapacity}));
            if (chunk->size == 0) break;
            tar_bytes_.fetch_add(chunk->size, std::memory_order_relaxed);
            if (settings_.tree >= 0 && !to_unpack_.push(chunk)) return {};
            if (!to_hash_.push(std::move(chunk))) return {};
        }
        to_hash_.close();
        to_unpack_.close();
        return {};
    };
    if (auto done = run(); !done) fail_with(std::move(done).error());
    outcome_.times.decompress = clock.lap();
}

void Pipeline::hash() {
    ThreadClock clock;
    std::unique_ptr<spec::Hasher> hasher = create_hasher(settings_.diff_algorithm);
    while (std::shared_ptr<Chunk> chunk = to_hash_.pop())
        hasher->update(chunk->view());
    outcome_.diff_id = hasher->finish();
    outcome_.times.hash_archive = clock.lap();
}

void Pipeline::unpack() {
    ThreadClock clock;
    QueueSource source{to_unpack_};
    auto report = unpack_tar(source, settings_.tree, settings_.unpack);
    if (!report) return fail_with(std::move(report).error());
    outcome_.report = std::move(*report);
    outcome_.times.write_files = clock.lap();
}

Result<Pipeline::Outcome> Pipeline::finish() {
    compressed_.close();
    for (std::thread& thread : threads_)
        thread.join();
    if (error_) return fail(std::move(*error_));
    outcome_.tar_bytes = tar_bytes();
    return std::move(outcome_);
}

}  // namespace hull::layer
