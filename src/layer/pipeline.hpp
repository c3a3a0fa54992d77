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
#include "layer/compress.hpp"
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

/// Turns compressed bytes into a tree. One thread besides the caller's, the reader, does all there
/// is to do with a chunk while the chunk is in its cache: decompresses it, hashes it, writes files.
/// That costs least, and is also fastest as long as every processor has a pipeline. Where there are
/// fewer pipelines, helpers hash, and decompress ahead, on the processors that are left.
class Pipeline {
  public:
    struct Settings {
        spec::DigestAlgorithm diff_algorithm = spec::DigestAlgorithm::sha256;
        int tree = -1;  ///< folder to unpack into, borrowed; -1: only hash
        UnpackOptions unpack;
        size_t processors = std::thread::hardware_concurrency();
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
    class ArchiveSource;
    using Lock = std::unique_lock<std::mutex>;

    explicit Pipeline(const Settings& settings);
    void read_archive();
    Result<void> unpack();
    void help(size_t number);
    size_t wanted_helpers() const;
    /// Chunks that may wait for a helper; without one, none.
    size_t backlog() const;
    bool can_decompress() const;
    bool can_hash() const { return !is_hashing_ && !unhashed_.empty(); }
    /// The next chunk for the reader. nullptr: the end, or stopped.
    std::shared_ptr<Chunk> next();
    bool is_stopped();
    void decompress_one(Lock& lock);
    Result<std::shared_ptr<Chunk>> decompress();
    void hash_one(Lock& lock);
    void hash_rest();
    void fail_with(Error error);
    void stop();

    Settings settings_;
    size_t helpers_ = 0;  ///< threads
    std::shared_ptr<ChunkPool> pool_;
    ChunkQueue compressed_;
    std::unique_ptr<ByteSource> compressed_source_;
    std::unique_ptr<Decompressor> decompressor_;  ///< of the thread that set is_decompressing_
    std::unique_ptr<spec::Hasher> hasher_;        ///< of the thread that set is_hashing_
    std::atomic<uint64_t> tar_bytes_{0};

    std::mutex mutex_;  ///< over all that follows
    std::condition_variable changed_;
    std::condition_variable wanted_;               ///< for helpers who have no processor
    std::deque<std::shared_ptr<Chunk>> plain_;     ///< decompressed, for the reader
    std::deque<std::shared_ptr<Chunk>> unhashed_;  ///< the same, for the diff id
    size_t parked_ = 0;                            ///< helpers that wait to be wanted
    bool is_decompressing_ = false;
    bool is_hashing_ = false;
    bool is_end_ = false;         ///< all is decompressed
    bool is_stopped_ = false;     ///< or has come to its end
    std::optional<Error> error_;  ///< the first
    Outcome outcome_;
    std::vector<std::thread> threads_;
};

}  // namespace hull::layer
