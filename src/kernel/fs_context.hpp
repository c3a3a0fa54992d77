#pragma once

#include <cstdint>
#include <string>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// A file system instance under configuration (fsopen(2)); mount.hpp has the whole operations.
/// Every error carries what the kernel wrote into the context's log.
class FsContext {
  public:
    /// @errors unsupported: this kernel has no such file system
    static Result<FsContext> open(const std::string& type);

    /// The superblock that `mount` shows, to be configured anew. @see fspick(2)
    static Result<FsContext> pick(int mount);

    Result<void> set_string(const std::string& key, const std::string& value);
    Result<void> set_flag(const std::string& key);
    Result<void> set_fd(const std::string& key, int fd);
    /// Makes the superblock and one detached mount of it.
    Result<Fd> create_mount(uint64_t attributes);
    /// Makes the changes of a picked superblock.
    Result<void> reconfigure();

  private:
    Result<void> set_inode_versions();
    FsContext(Fd fd, std::string type) : fd_(std::move(fd)), type_(std::move(type)) {}
    tl::unexpected<Error> refused(int cause, const std::string& what) const;
    Fd fd_;
    std::string type_;
};

}  // namespace hull::kernel
