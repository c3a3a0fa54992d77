#include "base/json_io.hpp"
#include "image/command.hpp"

namespace hull::image {

Result<void> Context::write_results() const {
    if (settings_.result_fd < 0) return {};
    Json images = Json::array();
    for (const auto& image : results_)
        images.push_back({{"name", image.name}, {"digest", image.digest}, {"id", image.id}});
    return with_context(write_all(settings_.result_fd, dump_json(Json{{"images", images}}) + "\n"),
                        "write to --result-fd");
}

}  // namespace hull::image
