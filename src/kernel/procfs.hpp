#pragma once

#include <string>
#include <string_view>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::kernel {

/// A procfs of our own pid namespace that no container can replace: a detached mount, held by its
/// descriptor. Every kernel file (sysctl, LSM label, oom_score_adj) is read and written through it:
/// openat2 with RESOLVE_BENEATH, NO_MAGICLINKS and NO_XDEV, then the file system's type is checked
/// on what was opened.
class Procfs {
  public:
    struct Options {
        bool only_processes = false;  ///< subset=pid: no /proc/sys and the like
    };
    /// A new instance (fsopen(2)); where that is refused (a user namespace that sees no whole proc)
    /// a detached copy of the one at /proc, checked to be a procfs and its root.
    static Result<Procfs> create(Options options);
    static Result<Procfs> create() { return create(Options{}); }
    /// Takes over a descriptor of a procfs's root. @errors corrupt: it is none
    static Result<Procfs> adopt(Fd root);

    int fd() const { return root_.get(); }

    /// @param path  relative: "self/attr/exec", "sys/net/ipv4/ip_forward"
    Result<Fd> open(std::string_view path, int flags) const;
    Result<std::string> read(std::string_view path) const;
    /// One write(2): what the kernel refuses is the error.
    Result<void> write(std::string_view path, std::string_view content) const;
    /// @param name  "net.ipv4.ip_forward", or with slashes "net/ipv4/conf/eth0.1/forwarding"
    /// @errors not_found: no such sysctl; invalid: the kernel refuses the value
    Result<void> write_sysctl(std::string_view name, std::string_view value) const;

  private:
    explicit Procfs(Fd root) : root_(std::move(root)) {}
    Fd root_;
};

/// "net.ipv4.ip_forward" -> "net/ipv4/ip_forward". The first separator decides which of '.' and '/'
/// separates, sysctl(8). @errors invalid: empty parts, ".."
Result<std::string> sysctl_path(std::string_view name);

}  // namespace hull::kernel
