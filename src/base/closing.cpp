#include "base/closing.hpp"

#include <unistd.h>

#include <utility>

namespace hull {

namespace {
ClosedTogether* in_force = nullptr;
}

ClosedTogether::ClosedTogether() : is_inner_(in_force != nullptr) {
    if (!is_inner_) in_force = this;
}

ClosedTogether::~ClosedTogether() {
    if (is_inner_) return;
    in_force = nullptr;
    if (!is_abandoned_) close_all();
}

void ClosedTogether::end() {
    if (in_force != nullptr) in_force->abandon();
    in_force = nullptr;
}

void ClosedTogether::exempt(int fd) {
    const auto number = static_cast<size_t>(fd);
    if (in_force != nullptr && number < kMost) in_force->exempt_[number] = true;
}

bool ClosedTogether::takes(int fd) {
    const auto number = static_cast<size_t>(fd);
    if (in_force == nullptr || number >= kMost) return false;
    if (std::exchange(in_force->exempt_[number], false)) return false;
    in_force->let_go_[number] = true;
    return true;
}

void ClosedTogether::close_all() {
    for (size_t first = 0; first < kMost; ++first) {
        if (!let_go_[first]) continue;
        size_t end = first + 1;
        while (end < kMost && let_go_[end])
            ++end;
        // Before kernel 5.9 there is no close_range(2).
        if (end == first + 1 ||
            ::close_range(static_cast<unsigned>(first), static_cast<unsigned>(end - 1), 0) < 0)
            for (size_t fd = first; fd < end; ++fd)
                ::close(static_cast<int>(fd));
        first = end;
    }
}

}  // namespace hull
