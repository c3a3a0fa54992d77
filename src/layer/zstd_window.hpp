#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>

namespace hull::layer {

/// Memory for the windows of the zstd frames that are decompressed at the same time: some MiB each,
/// and up to 128 MiB as the one who compressed chose.
class WindowBudget {
  public:
    explicit WindowBudget(uint64_t bytes) : bytes_(bytes) {}
    /// That of all layers which this process unpacks.
    static WindowBudget& of_layers();

    /// A part of the budget, held until it is given back or destroyed. Whoever holds one must not
    /// wait for another.
    class Share {
      public:
        explicit Share(WindowBudget* budget) : budget_(budget) {}
        Share(const Share&) = delete;
        Share& operator=(const Share&) = delete;
        ~Share() { give_back(); }
        /// Waits until there is room for `bytes`; what is larger than the whole waits for all of
        /// it.
        void take(uint64_t bytes);
        void give_back();
        uint64_t held() const { return held_; }

      private:
        WindowBudget* budget_;  ///< nullptr: unlimited
        uint64_t held_ = 0;
    };

  private:
    uint64_t bytes_;
    std::mutex mutex_;
    std::condition_variable changed_;
    uint64_t taken_ = 0;
};

/// Where a decompressor finds the memory for its windows.
struct WindowPlace {
    WindowBudget* budget = nullptr;  ///< nullptr: unlimited
    /// An open folder, borrowed: windows over 32 MiB lie in an unnamed file there, whose pages the
    /// kernel can write out, and not in memory. -1: in memory.
    int folder = -1;
};

/// Memory for libzstd, which takes the window in one piece.
class WindowMemory {
  public:
    explicit WindowMemory(int folder) : folder_(folder) {}
    WindowMemory(const WindowMemory&) = delete;
    WindowMemory& operator=(const WindowMemory&) = delete;
    void* allocate(size_t size);
    void release(void* memory);
    /// Tells how much was decompressed; now and then the file's pages are let go.
    void advance(size_t bytes);

  private:
    void* map_file(size_t size) const;
    int folder_;
    void* mapped_ = nullptr;
    size_t mapped_size_ = 0;
    bool is_file_ = false;
    size_t since_ = 0;  ///< bytes since pages were let go
};

/// The longest header of a zstd frame (RFC 8878, 3.1.1).
constexpr size_t kZstdFrameHeader = 18;
/// Bytes that decompressing the frame which begins with `header` needs for its window. 0: a
/// skippable frame, or not zstd.
uint64_t zstd_window_size(std::string_view header);

}  // namespace hull::layer
