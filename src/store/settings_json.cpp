#include "base/json_io.hpp"
#include "base/text.hpp"
#include "store/settings.hpp"

namespace hull::store {
namespace {

constexpr std::string_view kImageBudget = "imageBudget";

Result<Bytes> parse_budget(const JsonReader& field) {
    if (field.json().is_number_unsigned()) return Bytes{TRY(field.as_uint64())};
    auto size = parse_bytes(TRY(field.as_string()));
    if (!size) return field.refuse(size.error().to_string_without_hint(), "write \"20g\"");
    return *size;
}

}  // namespace

std::string settings_path(const std::string& root) {
    return root + "/settings.json";
}

Result<StoreSettings> load_settings(const std::string& root) {
    StoreSettings out;
    std::string path = settings_path(root);
    auto document = load_json(path, 1U << 20U);
    if (!document && document.error().code == Errc::not_found) return out;
    if (!document) return fail(std::move(document).error());
    auto read = [&]() -> Result<void> {
        for (const auto& [key, value] : TRY(JsonReader(*document, "").members())) {
            if (key != kImageBudget)
                return value.refuse("is no setting", "there is " + std::string{kImageBudget});
            out.image_budget = TRY(parse_budget(value));
        }
        return {};
    };
    TRY(with_context(read(), path));
    return out;
}

}  // namespace hull::store
