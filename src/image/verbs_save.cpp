#include <fcntl.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "image/archives.hpp"
#include "image/command.hpp"
#include "image/places.hpp"
#include "layer/archive.hpp"

namespace hull::image {
namespace {

/// What --format asks for.
enum class SaveForm { docker_archive, oci_archive, oci_folder };

Result<SaveForm> parse_form(const std::string& text) {
    if (text == "docker-archive" || text == "docker") return SaveForm::docker_archive;
    if (text == "oci-archive" || text == "oci") return SaveForm::oci_archive;
    if (text == "oci-dir") return SaveForm::oci_folder;
    return fail(Errc::invalid, "--format " + quote(text) + ": unknown",
                "docker-archive, oci-archive or oci-dir");
}

Result<std::vector<layer::SaveItem>> find_items(Context& context, const store::Store& store,
                                                const std::vector<std::string>& names) {
    std::vector<layer::SaveItem> out;
    for (const auto& text : names) {
        auto stored = TRY(find_stored(store, text));
        layer::SaveItem item{{}, stored.target};
        // An id is saved without a name, as docker does.
        if (stored.name.find("sha256:") != 0) item.names.push_back(stored.name);
        bool merged = false;
        for (auto& known : out)
            if (known.target.digest == item.target.digest) {
                known.names.insert(known.names.end(), item.names.begin(), item.names.end());
                merged = true;
            }
        context.add_result({stored.name, stored.target.digest.to_string(), ""});
        if (!merged) out.push_back(std::move(item));
    }
    return out;
}

Result<void> save(Context& context, const ParsedArgs& args) {
    auto form = TRY(parse_form(args.get("format", "docker-archive")));
    std::string path = args.get("output", "-");
    if (path == "-" && ::isatty(1) == 1)
        return fail(Errc::invalid, "an archive is not written to a terminal",
                    "give -o FILE, or redirect stdout");
    if (path != "-") path = TRY(absolute_path(path));
    ConfineRequest confinement{.unpacks = false, .network = false};
    std::unique_ptr<ArchiveOutput> output;
    if (form == SaveForm::oci_folder) {
        if (path == "-") return fail(Errc::invalid, "--format oci-dir needs -o FOLDER");
        TRY(create_directories(path));
        confinement.write_folders.push_back(path);
    } else {
        output = TRY(open_file_output(path));
        if (path != "-") confinement.write_folders.push_back(parent_path(path));
    }
    TRY(enter_namespace({.needs_range = false}));
    auto store = TRY(context.open_store());
    TRY(context.confine_for_store(std::move(confinement)));
    auto items = TRY(find_items(context, store, args.positionals));
    if (form == SaveForm::oci_folder) return layer::save_oci_directory(store, items, path);
    auto format =
        form == SaveForm::oci_archive ? layer::ArchiveFormat::oci : layer::ArchiveFormat::docker;
    TRY(layer::save_archive(store, items, format, output->sink()));
    return output->finish();
}

}  // namespace

std::vector<Verb> save_verbs() {
    return {{"save",
             "IMAGE…",
             "Write images to an archive that docker, podman and skopeo read",
             {{"output", 'o', "FILE", "where to; - is stdout (default)"},
              {"format", 0, "FORMAT", "docker-archive (default), oci-archive or oci-dir"},
              {"quiet", 'q', "", "show no progress"}},
             &save,
             1,
             1000}};
}

}  // namespace hull::image
