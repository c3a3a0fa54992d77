#include "layer/zstd_window.hpp"

#include <algorithm>
#include <array>

namespace hull::layer {
namespace {

constexpr uint64_t kLayers = 40U << 20U;

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
