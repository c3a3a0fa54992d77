// export: a container's files as an archive.

#include <fcntl.h>
#include <unistd.h>

#include "base/file.hpp"
#include "base/text.hpp"
#include "image/archives.hpp"
#include "image/command.hpp"
#include "image/container_tree.hpp"
#include "layer/difference.hpp"

namespace hull::image {
namespace {

Result<void> write_container(Context& context, const ParsedArgs& args) {
    std::string id = args.positionals.front();
    if (id.starts_with(kContainerPrefix)) id.erase(0, kContainerPrefix.size());
    std::string path = args.get("output", "-");
    if (path == "-" && ::isatty(1) == 1)
        return fail(Errc::invalid, "an archive is not written to a terminal",
                    "give -o FILE, or redirect stdout");
    ConfineRequest confinement{.unpacks = false, .network = false};
    if (path != "-") {
        path = TRY(absolute_path(path));
        confinement.write_folders.push_back(parent_path(path));
    }
    TRY(enter_namespace());
    auto store = TRY(context.open_store());
    Fd tree = TRY(open_container_tree(store, id));
    confinement.read_paths.push_back("/proc/self/fd/" + std::to_string(tree.get()));
    auto output = TRY(open_file_output(path));
    TRY(context.confine_for_store(std::move(confinement)));
    TRY(with_context(layer::write_difference(tree.get(), output->sink()), "export"));
    return output->finish();
}

}  // namespace

std::vector<Verb> export_verbs() {
    return {{"export",
             "CONTAINER",
             "Write the files of a container to an archive",
             {{"output", 'o', "FILE", "where to; - is stdout (default)"}},
             &write_container,
             1,
             1}};
}

}  // namespace hull::image
