#include "runtime/check_bundle.hpp"

#include <net/if.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "kernel/capabilities.hpp"
#include "kernel/namespaces.hpp"
#include "kernel/resctrl.hpp"
#include "kernel/seccomp.hpp"
#include "runtime/plan_from_spec.hpp"
#include "spec/runtime_check.hpp"
#include "spec/runtime_json.hpp"
#include "spec/runtime_sections.hpp"

namespace hull::runtime {
namespace {

std::string at(const std::string& list, size_t index) {
    return list + "[" + std::to_string(index) + "]";
}

/// The path that a message begins with.
std::string_view path_of(std::string_view message) {
    return message.substr(0, message.find(": "));
}

bool is_within(std::string_view inner, std::string_view outer) {
    return inner.starts_with(outer) && (inner.size() == outer.size() ||
                                        inner[outer.size()] == '.' || inner[outer.size()] == '[');
}

class BundleCheck {
  public:
    explicit BundleCheck(const std::string& bundle) : bundle_(bundle) {}

    void run(const std::string& text, const std::string& what) {
        std::vector<Error> errors;
        const auto config = spec::parse_runtime_config(text, what, errors);
        for (const auto& error : errors) {
            misread_.emplace_back(path_of(error.message));
            report_.problems.push_back(error.to_string());
        }
        if (!misread_.empty() && (misread_.front() == what || misread_.front() == "document"))
            return;
        for (const auto& violation : spec::check_runtime_config(config))
            add(violation);
        root(config);
        mounts(config);
        namespaces(config.linux_);
        hooks(config.hooks);
        machine(config);
        if (report_.problems.empty()) plan(config);
        if (config.process && config.process->capabilities)
            capabilities(*config.process->capabilities);
        for (const auto& unknown : spec::find_unknown_properties(text))
            report_.notes.push_back(unknown.to_string());
    }
    BundleReport take() { return std::move(report_); }

  private:
    /// What follows from a field that could not be read is not told again.
    void add(const spec::Violation& violation) {
        const bool follows = std::any_of(misread_.begin(), misread_.end(), [&](const auto& path) {
            return is_within(violation.path, path) || is_within(path, violation.path);
        });
        if (!follows) report_.problems.push_back(violation.to_string());
    }
    void add(std::string path, std::string_view value, std::string rule, std::string remedy) {
        std::string section{spec::section_of(path)};
        add({.path = std::move(path),
             .value = value.empty() ? "" : quote(value),
             .rule = std::move(rule),
             .section = std::move(section),
             .remedy = std::move(remedy)});
    }
    std::string in_bundle(const std::string& path) const {
        return path.starts_with('/') ? path : join_path(bundle_, path);
    }

    void root(const spec::RuntimeConfig& config) {
        if (!config.root || config.root->path.empty()) return;
        const std::string path = in_bundle(config.root->path);
        struct stat info{};
        if (::stat(path.c_str(), &info) < 0 || !S_ISDIR(info.st_mode))
            add("root.path", config.root->path, path + " is no folder",
                "put the root file system there");
    }

    void mounts(const spec::RuntimeConfig& config) {
        for (size_t i = 0; i < config.mounts.size(); ++i) {
            const auto& mount = config.mounts[i];
            const auto has = [&](std::string_view option) {
                return std::find(mount.options.begin(), mount.options.end(), option) !=
                       mount.options.end();
            };
            if ((mount.type != "bind" && !has("bind") && !has("rbind")) || has("remount") ||
                mount.source.empty())
                continue;
            struct stat info{};
            if (::lstat(in_bundle(mount.source).c_str(), &info) < 0)
                add(at("mounts", i) + ".source", mount.source, "does not exist",
                    "create it, or leave the mount out");
        }
    }

    void namespaces(const spec::Linux& section) {
        for (size_t i = 0; i < section.namespaces.size(); ++i) {
            const auto& entry = section.namespaces[i];
            const auto kind = kernel::parse_namespace_kind(entry.type);
            if (!kind || !entry.path.starts_with('/')) continue;
            auto opened = kernel::open_namespace(entry.path, *kind);
            if (!opened)
                add(at("linux.namespaces", i) + ".path", entry.path,
                    opened.error().to_string_without_hint(),
                    opened.error().hint.empty() ? "leave path out for a new namespace"
                                                : opened.error().hint);
        }
    }

    void hooks(const spec::Hooks& hooks) {
        // Those of startContainer are looked up inside the container.
        const std::pair<const char*, const std::vector<spec::Hook>*> stages[] = {
            {"prestart", &hooks.prestart},
            {"createRuntime", &hooks.create_runtime},
            {"createContainer", &hooks.create_container},
            {"poststart", &hooks.poststart},
            {"poststop", &hooks.poststop}};
        for (const auto& [name, list] : stages)
            for (size_t i = 0; i < list->size(); ++i) {
                const auto& path = (*list)[i].path;
                if (path.starts_with('/') && ::access(path.c_str(), X_OK) < 0)
                    add(at(std::string{"hooks."} + name, i) + ".path", path,
                        "is no program that can be run", "install it, or leave the hook out");
            }
    }

    void machine(const spec::RuntimeConfig& config) {
        const auto& section = config.linux_;
        for (const auto& device : section.net_devices)
            if (!device.host_name.empty() && ::if_nametoindex(device.host_name.c_str()) == 0)
                add("linux.netDevices." + device.host_name, device.host_name,
                    "is no network device of this machine", "see `ip link`");
        if (!section.intel_rdt) return;
        if (auto root = kernel::find_resctrl(); !root)
            add("linux.intelRdt", "", root.error().message, root.error().hint);
    }

    /// What shows only when the parts are put together.
    void plan(const spec::RuntimeConfig& config) {
        const auto level = log::settings();
        auto silent = level;
        silent.level = log::Level::error;  // its warnings are problems here, and told by us
        log::configure(silent);
        auto made = plan_from_spec(config, {.id = "check", .bundle = bundle_});
        log::configure(level);
        auto failed = made ? compile(*made) : std::optional{std::move(made).error()};
        if (!failed) return;
        const auto section = spec::section_of(path_of(failed->message));
        if (!section.empty()) failed->message += " [" + std::string{section} + "]";
        report_.problems.push_back(failed->to_string());
    }
    static std::optional<Error> compile(const jail::Plan& plan) {
        if (!plan.seccomp) return std::nullopt;
        auto program = kernel::compile_seccomp(*plan.seccomp);
        if (program) return std::nullopt;
        return std::move(program).error().with_context("linux.seccomp");
    }

    /// No error for `create`, which leaves out what it does not know; but not what was wanted.
    void capabilities(const spec::Capabilities& sets) {
        const std::pair<const char*, const std::vector<std::string>*> all[] = {
            {"bounding", &sets.bounding},
            {"effective", &sets.effective},
            {"inheritable", &sets.inheritable},
            {"permitted", &sets.permitted},
            {"ambient", &sets.ambient}};
        for (const auto& [set, names] : all)
            for (size_t i = 0; i < names->size(); ++i) {
                const auto& name = (*names)[i];
                if (kernel::parse_capability(name)) continue;
                auto near = closest_match(name, kernel::capability_names());
                add(at(std::string{"process.capabilities."} + set, i), name,
                    "is no capability, and would be left out with a warning",
                    near ? "did you mean " + *near + "?" : "capabilities(7) lists them");
            }
    }

    const std::string& bundle_;
    std::vector<std::string> misread_;
    BundleReport report_;
};

}  // namespace

Result<BundleReport> check_bundle(const std::string& bundle, const std::string& path) {
    const std::string text = TRY(spec::read_runtime_config(path));
    BundleCheck check{bundle};
    check.run(text, path);
    return check.take();
}

}  // namespace hull::runtime
