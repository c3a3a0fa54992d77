#include "store/short_names.hpp"

#include <unistd.h>

#include <cerrno>
#include <map>

#include "base/file.hpp"
#include "base/text.hpp"
#include "store/checksum.hpp"

namespace hull::store {
namespace {

using Names = std::map<std::string, std::string, std::less<>>;

// One line each: NAME REPOSITORY; then the sum.

std::string path_of(const Store& store) {
    return store.root() + "/short-names";
}

Names load(const Store& store) {
    Names names;
    auto file = read_file(path_of(store));
    if (!file) return names;
    for (std::string_view line : split_lines(without_checksum(*file)))
        if (size_t blank = line.find(' '); blank != std::string_view::npos)
            names[std::string{line.substr(0, blank)}] = std::string{line.substr(blank + 1)};
    return names;
}

std::string_view without_tag(std::string_view text) {
    return text.substr(0, text.find_first_of(":@"));
}

}  // namespace

Result<void> remember_short_name(const Store& store, std::string_view text,
                                 const spec::Reference& pulled) {
    if (spec::names_registry(text)) return {};
    auto usual = TRY(spec::parse_reference(text));
    std::string name{without_tag(text)};
    LockFile lock = TRY(LockFile::acquire(store.root() + "/references.lock"));
    Names names = load(store);
    auto known = names.find(name);
    std::string before = known == names.end() ? usual.repository() : known->second;
    if (before == pulled.repository()) return {};
    names[name] = pulled.repository();
    if (pulled.repository() == usual.repository()) names.erase(name);
    std::string lines;
    for (const auto& [short_name, repository] : names)
        lines += short_name + " " + repository + "\n";
    return write_file_atomically(path_of(store), with_checksum(std::move(lines)));
}

Result<spec::Reference> resolve_name(const Store& store, std::string_view text) {
    auto usual = TRY(spec::parse_reference(text));
    if (spec::names_registry(text)) return usual;
    Names names = load(store);
    auto known = names.find(without_tag(text));
    if (known == names.end()) return usual;
    std::string rest{text.substr(without_tag(text).size())};
    auto remembered = TRY(spec::parse_reference(known->second + rest));
    // What has a name of its own here is not hidden by what was pulled some time.
    if (TRY(store.references().find(remembered.to_string()))) return remembered;
    return usual;
}

Result<bool> has_whole_short_names(const Store& store) {
    auto file = read_file(path_of(store));
    if (!file && file.error().code == Errc::not_found) return true;
    std::string text = TRY(std::move(file));
    return text == with_checksum("") || !without_checksum(text).empty();
}

Result<void> mend_short_names(const Store& store) {
    if (TRY(has_whole_short_names(store))) return {};
    if (::unlink(path_of(store).c_str()) < 0 && errno != ENOENT)
        return fail_errno(errno, "remove " + path_of(store));
    return {};
}

}  // namespace hull::store
