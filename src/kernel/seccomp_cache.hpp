#pragma once

#include <optional>
#include <string>

#include "kernel/seccomp.hpp"

namespace hull::kernel {

/// Compiled filters in a folder, by the text that they were compiled from. An entry is used only if
/// it belongs to this user, is not writable by others, and holds exactly this text. Whatever is
/// wrong with the folder is no error: then nothing is found, and nothing kept.
class SeccompCache {
  public:
    explicit SeccompCache(std::string directory) : directory_(std::move(directory)) {}
    std::optional<SeccompProgram> find(std::string_view source) const;
    /// Makes the folder, with mode 0700, when it is missing.
    void keep(std::string_view source, const SeccompProgram& program) const;

  private:
    std::string entry_path(std::string_view source) const;
    std::string directory_;
};

/// `filter` as text: equal filters have equal texts, and only these.
std::string seccomp_source(const SeccompFilter& filter);
/// One cache entry: what was compiled and what came out, with a check sum.
std::string encode_seccomp_entry(std::string_view source, const SeccompProgram& program);
/// The program of an entry of `source`; nullopt when the entry is of another source or damaged.
std::optional<SeccompProgram> decode_seccomp_entry(std::string_view entry, std::string_view source);

}  // namespace hull::kernel
