#include "layer/name_set.hpp"

#include <functional>
#include <utility>

namespace hull::layer {
namespace {

constexpr size_t kFirstSlots = 1024;

uint64_t hash_of(std::string_view name) {
    uint64_t hash = std::hash<std::string_view>{}(name);
    return hash != 0 ? hash : 1;
}

}  // namespace

void NameSet::insert(std::string_view name) {
    if (count_ * 2 >= slots_.size()) grow();
    uint64_t hash = hash_of(name);
    uint64_t& slot = slots_[find(hash)];
    count_ += slot == 0 ? 1U : 0U;
    slot = hash;
}

bool NameSet::contains(std::string_view name) const {
    return !slots_.empty() && slots_[find(hash_of(name))] != 0;
}

size_t NameSet::find(uint64_t hash) const {
    size_t mask = slots_.size() - 1;
    size_t slot = hash & mask;
    while (slots_[slot] != 0 && slots_[slot] != hash)
        slot = (slot + 1) & mask;
    return slot;
}

void NameSet::grow() {
    std::vector<uint64_t> old = std::exchange(slots_, {});
    slots_.resize(old.empty() ? kFirstSlots : old.size() * 2);
    for (uint64_t hash : old)
        if (hash != 0) slots_[find(hash)] = hash;
}

}  // namespace hull::layer
