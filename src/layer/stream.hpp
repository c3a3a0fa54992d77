#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace hull::layer {

/// Where bytes come from.
class ByteSource {
  public:
    virtual ~ByteSource() = default;
    /// The next bytes, as much as is at hand, at least one. The view is the source's own and good
    /// until the next call. Empty: the end.
    virtual Result<std::string_view> read() = 0;
};

/// Where bytes go.
class ByteSink {
  public:
    virtual ~ByteSink() = default;
    virtual Result<void> write(std::string_view bytes) = 0;
};

/// Reads an open file from its present offset. Borrows the descriptor.
class FileSource final : public ByteSource {
  public:
    explicit FileSource(int fd) : fd_(fd) {}
    Result<std::string_view> read() override;

  private:
    int fd_;
    std::string buffer_;
};

/// Writes to an open file. Borrows the descriptor.
class FileSink final : public ByteSink {
  public:
    explicit FileSink(int fd) : fd_(fd) {}
    Result<void> write(std::string_view bytes) override;

  private:
    int fd_;
};

/// Reads memory, for tests and small archives.
class TextSource final : public ByteSource {
  public:
    explicit TextSource(std::string_view text) : text_(text) {}
    Result<std::string_view> read() override;

  private:
    std::string_view text_;
};

/// Collects in memory.
class TextSink final : public ByteSink {
  public:
    Result<void> write(std::string_view bytes) override {
        text.append(bytes);
        return {};
    }
    std::string text;
};

}  // namespace hull::layer
