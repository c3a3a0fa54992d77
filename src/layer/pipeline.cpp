#include "layer/pipeline.hpp"

#include <algorithm>
#include <span>
#include <system_error>

#include "layer/hash.hpp"
#include "layer/tar.hpp"

namespace hull::layer {
namespace {

constexpr size_t kQueued = 24;  // chunks in one queue of all pipelines together
constexpr size_t kLeastQueued = 2;
constexpr size_t kHelpers = 2;  // one hashes, one decompresses

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

/// What the reader sees of its pipeline.
class Pipeline::ArchiveSource final : public ByteSource {
  public:
    explicit ArchiveSource(Pipeline& pipeline) : pipeline_(&pipeline) {}
    Result<std::string_view> read() override {
        current_.reset();  // to the pool, while it is in the cache
        current_ = pipeline_->next();
        if (current_) return current_->view();
        if (pipeline_->is_stopped()) return fail(Errc::cancelled, "unpacking was given up");
        return std::string_view{};
    }

  private:
    Pipeline* pipeline_;
    std::shared_ptr<Chunk> current_;
};

Pipeline::Pipeline(const Settings& settings)
    : settings_(settings),
      pool_(std::make_shared<ChunkPool>()),
      compressed_source_(std::make_unique<QueueSource>(compressed_)),
      hasher_(create_hasher(settings.diff_algorithm)) {
    settings_.processors = std::max<size_t>(settings_.processors, 1);
    helpers_ = std::min(settings_.processors - 1, kHelpers);
    running_pipelines.fetch_add(1);
}

Result<std::unique_ptr<Pipeline>> Pipeline::start(const Settings& settings) {
    std::unique_ptr<Pipeline> pipeline{new Pipeline{settings}};
    try {
        Pipeline* self = pipeline.get();
        pipeline->threads_.emplace_back([self] { self->read_archive(); });
        for (size_t number = 0; number < self->helpers_; ++number)
            pipeline->threads_.emplace_back([self, number] { self->help(number); });
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
    std::lock_guard lock{mutex_};
    is_stopped_ = true;
    changed_.notify_all();
    wanted_.notify_all();
}

bool Pipeline::is_stopped() {
    std::lock_guard lock{mutex_};
    return is_stopped_;
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

void Pipeline::read_archive() {
    ThreadClock clock;
    if (auto done = unpack(); !done) return fail_with(std::move(done).error());
    hash_rest();
    {
        std::lock_guard lock{mutex_};
        outcome_.times.write_files += clock.lap();  // what next() did is taken off there
    }
    stop();
}

Result<void> Pipeline::unpack() {
    ArchiveSource source{*this};
    if (settings_.tree >= 0) {
        outcome_.report = TRY(unpack_tar(source, settings_.tree, settings_.unpack));
        return {};
    }
    while (!TRY(source.read()).empty())
        continue;
    return {};
}

void Pipeline::help(size_t number) {
    Lock lock{mutex_};
    while (!is_stopped_) {
        if (number >= wanted_helpers()) {
            ++parked_;
            wanted_.wait(lock);
            --parked_;
        } else if (can_hash()) {
            hash_one(lock);
        } else if (can_decompress() && plain_.size() < queue_limit()) {
            decompress_one(lock);
        } else {
            changed_.wait(lock);
        }
    }
}

size_t Pipeline::wanted_helpers() const {
    size_t pipelines = std::max<size_t>(running_pipelines.load(), 1);
    return std::min((settings_.processors - 1) / pipelines, kHelpers);
}

size_t Pipeline::backlog() const {
    return wanted_helpers() > 0 ? queue_limit() : 0;
}

bool Pipeline::can_decompress() const {
    return !is_end_ && !is_decompressing_ && unhashed_.size() <= backlog();
}

std::shared_ptr<Chunk> Pipeline::next() {
    ThreadClock clock;
    Lock lock{mutex_};
    while (!is_stopped_) {
        if (can_hash() && unhashed_.size() > backlog()) {
            hash_one(lock);
        } else if (!plain_.empty()) {
            std::shared_ptr<Chunk> chunk = std::move(plain_.front());
            plain_.pop_front();
            changed_.notify_all();
            outcome_.times.write_files -= clock.lap();
            return chunk;
        } else if (can_decompress()) {
            decompress_one(lock);
        } else if (is_end_) {
            break;
        } else {
            changed_.wait(lock);
        }
    }
    outcome_.times.write_files -= clock.lap();
    return nullptr;
}

void Pipeline::decompress_one(Lock& lock) {
    is_decompressing_ = true;
    if (wanted_helpers() + parked_ > helpers_) wanted_.notify_all();
    lock.unlock();
    ThreadClock clock;
    auto chunk = decompress();
    auto spent = clock.lap();
    if (!chunk) fail_with(std::move(chunk).error());
    lock.lock();
    outcome_.times.decompress += spent;
    is_decompressing_ = false;
    if (chunk && *chunk) {
        tar_bytes_.fetch_add((*chunk)->size, std::memory_order_relaxed);
        unhashed_.push_back(*chunk);
        if (settings_.tree >= 0) plain_.push_back(std::move(*chunk));
    } else {
        is_end_ = true;
    }
    changed_.notify_all();
}

/// @return  nullptr at the end.
Result<std::shared_ptr<Chunk>> Pipeline::decompress() {
    if (!decompressor_)
        decompressor_ = TRY(
            create_decompressor(*compressed_source_, {&WindowBudget::of_layers(), settings_.tree}));
    std::shared_ptr<Chunk> chunk = pool_->take();
    chunk->size = TRY(decompressor_->read_into(std::span{chunk->data(), Chunk::kCapacity}));
    if (chunk->size == 0) return std::shared_ptr<Chunk>{};
    return chunk;
}

void Pipeline::hash_one(Lock& lock) {
    is_hashing_ = true;
    std::shared_ptr<Chunk> chunk = std::move(unhashed_.front());
    unhashed_.pop_front();
    lock.unlock();
    ThreadClock clock;
    hasher_->update(chunk->view());
    chunk.reset();
    auto spent = clock.lap();
    lock.lock();
    outcome_.times.hash_archive += spent;
    is_hashing_ = false;
    changed_.notify_all();
}

/// The diff id, after the last chunk.
void Pipeline::hash_rest() {
    Lock lock{mutex_};
    while (is_hashing_ || !unhashed_.empty()) {
        if (is_stopped_) return;
        if (can_hash())
            hash_one(lock);
        else
            changed_.wait(lock);
    }
    outcome_.diff_id = hasher_->finish();
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
