#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "image/budget.hpp"
#include "image/changes.hpp"
#include "image/command.hpp"
#include "layer/archive.hpp"
#include "spec/reference.hpp"
#include "store/collect.hpp"

namespace hull::image {
namespace {

constexpr uint64_t kUnknownSize = 0;

/// What an archive is read from.
struct Input {
    Fd file;
    std::string folder;  ///< absolute, when it is a folder; then `file` is not open
    std::string name;    ///< for messages
    uint64_t size = 0;   ///< bytes; 0: not known (a pipe)
};

Result<Input> open_input(const std::string& path) {
    Input out;
    if (path == "-") {
        if (::isatty(0) == 1)
            return fail(Errc::invalid, "read an archive from a terminal",
                        "give a file, or pipe the archive in");
        out.file.reset(::fcntl(0, F_DUPFD_CLOEXEC, 3));
        if (!out.file) return fail_errno(errno, "read stdin");
        out.name = "stdin";
        return out;
    }
    out.name = path;
    out.file = TRY(open_path(path, O_RDONLY));
    struct stat info{};
    if (::fstat(out.file.get(), &info) < 0) return fail_errno(errno, "stat " + path);
    if (S_ISDIR(info.st_mode)) {
        out.folder = TRY(absolute_path(path));
        out.file.reset();
    } else {
        out.size = S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : kUnknownSize;
    }
    return out;
}

Result<void> confine_for_input(const Context& context, const Input& input) {
    ConfineRequest confinement;
    confinement.network = false;
    if (!input.folder.empty()) confinement.read_paths.push_back(input.folder);
    return context.confine_for_store(std::move(confinement));
}

/// What came in before the failure goes again: its lease ends, and nothing else names it.
tl::unexpected<Error> fail_and_drop(const store::Store& store, store::Lease lease, Error error) {
    {
        store::Lease ended = std::move(lease);
    }
    if (auto collected = store::collect(store); !collected)
        log::warning("blobs of the failed attempt stay until the next hull image prune: " +
                     collected.error().to_string());
    return fail(std::move(error));
}

/// Sets the names of what was loaded and prints them as docker does.
Result<void> keep_loaded(Context& context, const store::Store& store,
                         const std::vector<layer::LoadedImage>& loaded) {
    std::vector<store::ReferenceEntry> entries;
    std::string text;
    for (const auto& image : loaded) {
        for (const auto& warning : image.warnings)
            log::warning(warning);
        for (const auto& name : image.names) {
            entries.push_back(
                {name, image.target.digest, image.target.media_type, image.target.size, {}});
            context.add_result({name, image.target.digest.to_string(), image.id.to_string()});
            text += "Loaded image: " + name + "\n";
        }
        if (image.names.empty()) {
            // Without a name it would be collected: the digest is its name.
            std::string name = "sha256:" + image.id.hex();
            entries.push_back({"localhost/unnamed@" + image.target.digest.to_string(),
                               image.target.digest,
                               image.target.media_type,
                               image.target.size,
                               {}});
            context.add_result({"", image.target.digest.to_string(), image.id.to_string()});
            text += "Loaded image ID: " + name + "\n";
        }
    }
    TRY(store.references().set(std::move(entries)));
    keep_to_budget(context, store);
    return Context::print(text);
}

Result<void> load(Context& context, const ParsedArgs& args) {
    std::string path = args.get("input", args.positionals.empty() ? "-" : args.positionals.front());
    auto input = TRY(with_context(open_input(path), "load"));
    layer::LoadOptions options;
    options.platform = TRY(parse_platform_option(args));
    TRY(enter_namespace());
    auto store = TRY(context.open_store());
    TRY(confine_for_input(context, input));
    auto lease = TRY(store.create_lease());
    options.unpack = layer::unpack_options_here();
    auto& progress = context.progress();
    int item = progress.begin("load " + base_name(input.name), input.size);
    options.progress = [&](uint64_t bytes) { progress.advance(item, bytes); };
    auto loaded = input.folder.empty()
                      ? layer::load_archive(store, lease, input.file.get(), options)
                      : layer::load_directory(store, lease, input.folder, options);
    if (!loaded)
        return fail_and_drop(store, std::move(lease),
                             std::move(loaded).error().with_context("load " + input.name));
    progress.finish(item, "done");
    return keep_loaded(context, store, *loaded);
}

Result<void> import(Context& context, const ParsedArgs& args) {
    auto input = TRY(with_context(open_input(args.positionals.front()), "import"));
    if (!input.folder.empty())
        return fail(Errc::invalid, "import " + input.name + ": is a folder, not an archive",
                    "pipe it: tar -C " + input.name + " -c . | hull import - NAME");
    layer::ImportOptions options;
    options.platform = TRY(parse_platform_option(args));
    options.message = args.get("message", "Imported from " + input.name);
    for (const auto& change : args.all("change"))
        TRY(with_context(apply_change(change, options.config), "--change"));
    std::optional<spec::Reference> reference;
    if (args.positionals.size() > 1) reference = TRY(spec::parse_reference(args.positionals[1]));
    if (reference && reference->digest)
        return fail(Errc::invalid, "import: a name with a digest cannot be given");
    TRY(enter_namespace());
    auto store = TRY(context.open_store());
    TRY(confine_for_input(context, input));
    auto lease = TRY(store.create_lease());
    options.unpack = layer::unpack_options_here();
    auto& progress = context.progress();
    int item = progress.begin("import " + base_name(input.name), input.size);
    options.progress = [&](uint64_t bytes) { progress.advance(item, bytes); };
    auto image = layer::import_root_filesystem(store, lease, input.file.get(), options);
    if (!image)
        return fail_and_drop(store, std::move(lease),
                             std::move(image).error().with_context("import " + input.name));
    progress.finish(item, "done");
    std::string name = reference ? reference->to_string()
                                 : "localhost/unnamed@" + image->target.digest.to_string();
    TRY(store.references().set(store::ReferenceEntry{
        name, image->target.digest, image->target.media_type, image->target.size, {}}));
    for (const auto& warning : image->warnings)
        log::warning(warning);
    context.add_result(
        {reference ? name : "", image->target.digest.to_string(), image->id.to_string()});
    keep_to_budget(context, store);
    return Context::print(image->id.to_string() + "\n");
}

}  // namespace

std::vector<Verb> load_verbs() {
    return {
        {"load",
         "[FILE|FOLDER|-]",
         "Load images from an archive (docker or OCI, compressed or not) or an OCI layout",
         {{"input", 'i', "FILE", "archive or folder; - is stdin (default)"},
          {"platform", 0, "OS/ARCH[/VARIANT]", "which image of a list is unpacked"},
          {"quiet", 'q', "", "show no progress"}},
         &load,
         0,
         1},
        {"import",
         "FILE|- [NAME[:TAG]]",
         "Make an image from a root file system archive",
         {{"change", 'c', "INSTRUCTION",
           "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, STOPSIGNAL, USER, "
           "VOLUME or WORKDIR, as in a Dockerfile"},
          {"message", 'm', "TEXT", "comment in the history"},
          {"platform", 0, "OS/ARCH[/VARIANT]", "what it is for"},
          {"quiet", 'q', "", "show no progress"}},
         &import,
         1,
         2},
    };
}

}  // namespace hull::image
