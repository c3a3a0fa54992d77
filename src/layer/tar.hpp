#pragma once

#include <sys/types.h>
#include <time.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "layer/stream.hpp"

namespace hull::layer {

enum class TarType {
    file,
    directory,
    symlink,
    hard_link,
    character_device,
    block_device,
    fifo,
};

/// One member of a tar archive. Names are bytes, not text; nothing is cleaned or checked.
struct TarEntry {
    TarType type = TarType::file;
    std::string name;
    std::string link;  ///< target of a symlink; member name for a hard link
    uint64_t size = 0;
    mode_t mode = 0;  ///< permission bits with setuid, setgid, sticky
    uid_t uid = 0;
    gid_t gid = 0;
    timespec mtime{};
    unsigned device_major = 0;
    unsigned device_minor = 0;
    /// Names and values as the archive has them ("user.mime_type", "security.capability",
    /// "system.posix_acl_access").
    std::vector<std::pair<std::string, std::string>> xattrs;
    bool sparse = false;
};

/// A piece of a file's content; between pieces there are holes.
struct TarData {
    std::string_view bytes;  ///< the reader's own, good until the next call; empty: the end
    uint64_t offset = 0;
};

/// Reads ustar, pax and GNU archives as a stream.
class TarReader {
  public:
    virtual ~TarReader() = default;
    /// The next member, nullopt at the end. What is unread of the one before is passed over. The
    /// pointer is good until the next call.
    /// @errors corrupt: not a tar archive, truncated, a wrong header checksum.
    virtual Result<const TarEntry*> next() = 0;
    virtual Result<TarData> read_data() = 0;
    /// Reads `source` to its end after the last member, so that a hash of it is whole.
    virtual Result<void> drain() = 0;
};
std::unique_ptr<TarReader> create_tar_reader(ByteSource& source);

/// Writes a reproducible archive: ustar headers, pax records only for what ustar cannot hold,
/// sorted, nothing about the writer or the time of writing.
class TarWriter {
  public:
    explicit TarWriter(ByteSink& sink) : sink_(&sink) {}
    /// Starts a member. For a file, `entry.size` bytes must follow by write_data().
    Result<void> add(const TarEntry& entry);
    Result<void> write_data(std::string_view bytes);
    /// A file in one call, mode 0644, owner 0, time 0.
    Result<void> add_file(const std::string& name, std::string_view content);
    /// The two zero blocks at the end. Call once.
    Result<void> finish();

  private:
    Result<void> pad();
    ByteSink* sink_;
    uint64_t left_ = 0;     ///< bytes of content still to come
    uint64_t padding_ = 0;  ///< after them
};

}  // namespace hull::layer
