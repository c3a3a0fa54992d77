#include "layer/stream.hpp"

#include <unistd.h>

#include <cerrno>

#include "base/fd.hpp"

namespace hull::layer {

Result<std::string_view> FileSource::read() {
    constexpr size_t kBuffer = 1U << 20U;
    if (buffer_.empty()) buffer_.resize(kBuffer);
    for (;;) {
        ssize_t got = ::read(fd_, buffer_.data(), buffer_.size());
        if (got >= 0) return std::string_view{buffer_.data(), static_cast<size_t>(got)};
        if (errno != EINTR) return fail_errno(errno, "read the archive");
    }
}

Result<void> FileSink::write(std::string_view bytes) {
    return write_all(fd_, bytes);
}

Result<std::string_view> TextSource::read() {
    std::string_view all = text_;
    text_ = {};
    return all;
}

}  // namespace hull::layer
