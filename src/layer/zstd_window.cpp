#include "layer/zstd_window.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "base/fd.hpp"

namespace hull::layer {
namespace {

constexpr uint64_t kLayers = 40U << 20U;
constexpr size_t kMapped = 1U << 20U;
constexpr size_t kIntoFile = 32U << 20U;
constexpr size_t kLetGoEvery = 16U << 20U;

uint64_t little_endian(std::string_view bytes) {
    uint64_t value = 0;
    for (size_t i = bytes.size(); i > 0; --i)
        value = value << 8U | static_cast<unsigned char>(bytes[i - 1]);
    return value;
}

}  // namespace

WindowBudget& WindowBudget::of_layers() {
    static WindowBudget budget{kLayers};
    return budget;
}

void WindowBudget::Share::take(uint64_t bytes) {
    give_back();
    if (budget_ == nullptr) {
        held_ = bytes;
        return;
    }
    std::unique_lock lock{budget_->mutex_};
    uint64_t wanted = std::min(bytes, budget_->bytes_);
    budget_->changed_.wait(lock, [&] { return budget_->taken_ + wanted <= budget_->bytes_; });
    budget_->taken_ += wanted;
    held_ = bytes;
}

void WindowBudget::Share::give_back() {
    if (budget_ != nullptr && held_ > 0) {
        std::lock_guard lock{budget_->mutex_};
        budget_->taken_ -= std::min(held_, budget_->bytes_);
        budget_->changed_.notify_all();
    }
    held_ = 0;
}

void* WindowMemory::map_file(size_t size) const {
    Fd file{::openat(folder_, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)};
    // With its blocks: a full disk would end the process when a page of a hole is written.
    if (!file || ::posix_fallocate(file.get(), 0, static_cast<off_t>(size)) != 0) return nullptr;
    void* mapped = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    return mapped == MAP_FAILED ? nullptr : mapped;
}

void* WindowMemory::allocate(size_t size) {
    // Not by malloc, which keeps what one thread gave back for that thread.
    if (size < kMapped || mapped_ != nullptr) return std::malloc(size);
    if (size >= kIntoFile && folder_ >= 0) mapped_ = map_file(size);
    is_file_ = mapped_ != nullptr;
    if (!is_file_) {
        void* anonymous =
            ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (anonymous != MAP_FAILED) mapped_ = anonymous;
    }
    mapped_size_ = size;
    return mapped_;
}

void WindowMemory::release(void* memory) {
    if (memory == nullptr || memory != mapped_) return std::free(memory);
    ::munmap(mapped_, mapped_size_);
    mapped_ = nullptr;
}

void WindowMemory::advance(size_t bytes) {
    since_ += bytes;
    if (mapped_ == nullptr || !is_file_ || since_ < kLetGoEvery) return;
    since_ = 0;
    // The pages stay in the file's cache; they are only no longer this process's.
    (void)::madvise(mapped_, mapped_size_, MADV_DONTNEED);
}

uint64_t zstd_window_size(std::string_view header) {
    if (header.size() < 6 || !header.starts_with("\x28\xb5\x2f\xfd")) return 0;
    auto descriptor = static_cast<unsigned char>(header[4]);
    bool is_single_segment = (descriptor & 0x20U) != 0;
    if (!is_single_segment) {
        auto window = static_cast<unsigned char>(header[5]);
        uint64_t base = uint64_t{1} << (10U + (window >> 3U));
        return base + base / 8 * (window & 7U);
    }
    // The window is the whole content, whose size stands behind the dictionary's id.
    constexpr std::array<size_t, 4> kDictionary = {0, 1, 2, 4};
    constexpr std::array<size_t, 4> kContent = {1, 2, 4, 8};
    size_t offset = 5 + kDictionary[descriptor & 3U];
    size_t length = kContent[descriptor >> 6U];
    if (header.size() < offset + length) return 0;
    return little_endian(header.substr(offset, length)) + (length == 2 ? 256 : 0);
}

}  // namespace hull::layer
