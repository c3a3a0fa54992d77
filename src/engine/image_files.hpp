#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.hpp"
#include "base/result.hpp"

namespace hull::engine {

/// Reads files of an image (or of a container that does not run) before anything is mounted: the
/// stack of layers is looked through as overlay would, whiteouts and opaque folders included. No
/// link leads out of it.
class LayerView {
  public:
    /// @param layers  directories, topmost first; ones that are missing are empty
    static Result<LayerView> open(const std::vector<std::string>& layers);

    /// A whole regular file, symbolic links followed inside.
    /// @return  nullopt: not there, or not a regular file
    /// @errors invalid: over `limit` bytes
    Result<std::optional<std::string>> read_file(std::string_view path,
                                                 size_t limit = 1U << 20U) const;

  private:
    explicit LayerView(std::vector<Fd> layers) : layers_(std::move(layers)) {}
    std::vector<Fd> layers_;
};

}  // namespace hull::engine
