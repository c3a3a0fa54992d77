#include "runtime/config_document.hpp"

#include "base/file.hpp"
#include "kernel/seccomp_cache.hpp"
#include "runtime/annotations.hpp"
#include "runtime/container.hpp"
#include "spec/runtime_json.hpp"
#include "spec/seccomp_text.hpp"

namespace hull::runtime {

namespace {

kernel::SeccompCache seccomp_cache(const Settings& settings) {
    return kernel::SeccompCache{join_path(settings.root, kSeccompCacheFolder)};
}

/// The document without its linux.seccomp, if the filter of that is known. nullopt: read it all;
/// what is wrong with the document is then told with its line.
std::optional<ConfigDocument> read_rest(const Settings& settings, const std::string& text,
                                        std::string_view what) {
    const auto section = spec::find_seccomp_text(text);
    if (!section) return std::nullopt;
    auto filter = seccomp_cache(settings).find(*section);
    if (!filter) return std::nullopt;
    auto config = spec::parse_runtime_config_without(text, what, *section);
    if (!config || is_annotation_on(*config, kFailUnknownCall)) return std::nullopt;
    return ConfigDocument{.config = std::move(*config), .filter = std::move(filter)};
}

}  // namespace

Result<ConfigDocument> read_config(const Settings& settings, std::string text,
                                   std::string_view what, ReadSeccomp read_seccomp) {
    std::optional<ConfigDocument> document;
    if (read_seccomp == ReadSeccomp::if_not_cached) document = read_rest(settings, text, what);
    if (!document) document = ConfigDocument{.config = TRY(spec::parse_runtime_config(text, what))};
    document->text = std::move(text);
    return std::move(*document);
}

Result<std::optional<kernel::SeccompProgram>> seccomp_program(const Settings& settings,
                                                              const ConfigDocument& document,
                                                              const jail::Plan& plan) {
    if (plan.seccomp_program) return plan.seccomp_program;
    if (!plan.seccomp) return document.filter;
    auto program = TRY(with_context(kernel::compile_seccomp(*plan.seccomp), "linux.seccomp"));
    // A listener's path and metadata are not in the program.
    const auto section = spec::find_seccomp_text(document.text);
    if (section && !plan.seccomp->uses_notify()) seccomp_cache(settings).keep(*section, program);
    return std::optional{std::move(program)};
}

}  // namespace hull::runtime
