#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.hpp"
#include "layer/phases.hpp"
#include "layer/stream.hpp"
#include "layer/unpack.hpp"
#include "spec/digest.hpp"

namespace hull::layer {

/// A piece of a stream that several threads read.
class Chunk {
  public:
    static constexpr size_t kCapacity = 256U << 10U;
    Chunk() : bytes_(new char[kCapacity]) {}
    char* data() { return bytes_.get(); }
    std::string_view view() const { return {bytes_.get(), size}; }
    size_t size = 0;

  private:
    std::unique_ptr<char[]> bytes_;
};

/// Chunks for reuse: fresh memory would be faulted in page by page again and again.
class ChunkPool : public std::enable_shared_from_this<ChunkPool> {
  public:
    std::shared_ptr<Chunk> take();

  private:
    std::mutex mutex_;
    std::vector<std::unique_ptr<Chunk>> free_;
};

/// A bounded queue from one thread to one other. The more pipelines there are in the process, the
/// shorter it is: all together hold about 20 MB, however many layers are unpacked at once.
class ChunkQueue {
  public:
    /// Waits for room. @return false: the reader has given up.
    bool push(std::shared_ptr<Chunk> chunk);
    /// No more will come.
    void close();
    /// Waits. nullptr: closed and empty, or abandoned.
    std::shared_ptr<Chunk> pop();
    /// Neither side waits any longer; what is queued is dropped.
    void abandon();
    bool is_abandoned();

  private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::shared_ptr<Chunk>> chunks_;
    bool closed_ = false;
    bool abandoned_ = false;
};

/// Turns compressed bytes into a tree, in three threads besides the caller's: one decompresses, one
/// hashes the archive, one unpacks it. Neighbours share chunks of 256 KiB over bounded queues.
class Pipeline {
  public:
    struct Settings {
        spec::DigestAlgorithm diff_algorithm = spec::DigestAlgorithm::sha256;
        int tree = -1;  ///< folder to unpack into, borrowed; -1: only hash
        UnpackOptions unpack;
    };
    static Result<std::unique_ptr<Pipeline>> start(const Settings& settings);
    Pipeline(const Pipeline&) = delete;
    Pipeline& operator=(const Pipeline&) = delete;
    /// Stops the threads, whatever they do.
    ~Pipeline();

    std::shared_ptr<Chunk> take_chunk() { return pool_->take(); }
    /// @errors that of the stage which failed.
    Result<void> push(std::shared_ptr<Chunk> chunk);

    struct Outcome {
        spec::Digest diff_id;
        uint64_t tar_bytes = 0;
        UnpackReport report;
        PhaseTimes times;
    };
    /// Waits for the end of all stages. Call once.
    Result<Outcome> finish();
    uint64_t tar_bytes() const { return tar_bytes_.load(std::memory_order_relaxed); }

  private:
    explicit Pipeline(const Settings& settings);
    void decompress();
    void hash();
    void unpack();
    void fail_with(Error error);
    void stop();

    Settings settings_;
    std::shared_ptr<ChunkPool> pool_;
    ChunkQueue compressed_;
    ChunkQueue to_hash_;
    ChunkQueue to_unpack_;
    std::atomic<uint64_t> tar_bytes_{0};
    std::mutex mutex_;
    std::optional<Error> error_;  ///< the first
    Outcome outcome_;
    std::vector<std::thread> threads_;
};

}  // namespace hull::layer
