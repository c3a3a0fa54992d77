#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/args.hpp"
#include "base/result.hpp"
#include "image/confine.hpp"
#include "image/progress.hpp"
#include "registry/access.hpp"
#include "store/settings.hpp"
#include "store/store.hpp"

namespace hull::image {

/// What hull-image was told before the verb.
struct Settings {
    std::string root;
    std::string runroot;
    ProgressMode progress = ProgressMode::automatic;
    int error_fd = -1;
    int result_fd = -1;
};

/// One image that a verb brought in, for --result-fd.
struct ResultImage {
    std::string name;
    std::string digest;
    std::string id;
};

/// One run of hull-image.
class Context {
  public:
    explicit Context(Settings settings) : settings_(std::move(settings)) {}

    const Settings& settings() const { return settings_; }
    /// True after SIGINT or SIGTERM.
    static const std::atomic<bool>& cancelled();

    /// Opens the store (made if missing) and reads its settings. @see store::Store::open
    Result<store::Store> open_store();
    const store::StoreSettings& store_settings() const { return store_settings_; }
    /// Confines this process: the store and `more` of the request can be written.
    Result<void> confine_for_store(ConfineRequest more) const;
    registry::Progress& progress();
    /// No bars or lines from now on.
    void silence() { settings_.progress = ProgressMode::none; }

    void add_result(ResultImage image) { results_.push_back(std::move(image)); }
    const std::vector<ResultImage>& results() const { return results_; }
    /// Writes the result object to --result-fd, if there is one.
    Result<void> write_results() const;
    /// Writes to stdout.
    static Result<void> print(std::string_view text);

  private:
    Settings settings_;
    store::StoreSettings store_settings_;
    std::unique_ptr<registry::Progress> progress_;
    std::vector<ResultImage> results_;
};

/// One verb of hull-image.
struct Verb {
    std::string_view name;     ///< "pull", "manifest create"
    std::string_view usage;    ///< "REF"
    std::string_view summary;  ///< one line for --help
    std::vector<OptionSpec> options;
    Result<void> (*run)(Context& context, const ParsedArgs& args);
    size_t least_arguments = 0;
    size_t most_arguments = 0;
};

/// The verbs, one function for each file that holds some.
std::vector<Verb> pull_verbs();
std::vector<Verb> load_verbs();
std::vector<Verb> copy_verbs();
std::vector<Verb> save_verbs();
std::vector<Verb> export_verbs();
std::vector<Verb> store_verbs();
std::vector<Verb> check_verbs();
std::vector<Verb> tree_verbs();
std::vector<Verb> login_verbs();
std::vector<Verb> remote_verbs();
std::vector<Verb> manifest_verbs();
std::vector<Verb> artifact_verbs();

/// Options of every verb that talks to registries, in front of its own.
std::vector<OptionSpec> with_registry_options(std::vector<OptionSpec> own);
Result<registry::AccessOptions> parse_access_options(const ParsedArgs& args);
/// What reaching registries reads: certificates, registries.conf.
void add_registry_paths(const registry::AccessOptions& options, ConfineRequest& request);
/// --platform, else this machine's.
Result<spec::Platform> parse_platform_option(const ParsedArgs& args);

/// The whole program. @return  its exit code: 0, or 125.
int run_hull_image(std::span<const std::string> args);

}  // namespace hull::image
