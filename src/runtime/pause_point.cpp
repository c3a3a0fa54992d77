#include "runtime/pause_point.hpp"

#include <csignal>
#include <cstdlib>

namespace hull::runtime {

void pause_point(std::string_view step) {
    const char* wanted = ::getenv("HULL_DEBUG_PAUSE_AT");
    if (wanted != nullptr && step == wanted) ::raise(SIGSTOP);
}

}  // namespace hull::runtime
