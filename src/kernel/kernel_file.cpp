#include "kernel/kernel_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/fd.hpp"

namespace hull::kernel {

Result<std::string> read_kernel_file(const std::string& path) {
    Fd file = TRY(open_path(path, O_RDONLY));
    std::array<char, 16384> buffer;
    ssize_t got = 0;
    do {
        got = ::read(file.get(), buffer.data(), buffer.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) return fail_errno(errno, "read " + path);
    std::string text(buffer.data(), static_cast<size_t>(got));
    if (text.size() == buffer.size())
        text += TRY(with_context(read_all(file.get()), "read " + path));
    return text;
}

}  // namespace hull::kernel
