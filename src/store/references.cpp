#include "store/references.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "store/checksum.hpp"

namespace hull::store {
namespace {

using Clock = std::chrono::system_clock;

constexpr size_t kMaxFile = 64U << 20U;

// One line each: DIGEST SIZE SECONDS MEDIA-TYPE NAME. None of the parts can hold a blank. All of it
// is there twice, each with a sum: a flipped bit cannot turn one name into another, and loses none.
constexpr std::string_view kFirstLine = "references";

std::string format_entries(const std::vector<ReferenceEntry>& entries) {
    std::string text = std::string{kFirstLine} + "\n";
    for (const ReferenceEntry& entry : entries) {
        auto seconds =
            std::chrono::duration_cast<std::chrono::seconds>(entry.updated.time_since_epoch());
        text += entry.digest.to_string() + " " + std::to_string(entry.size) + " " +
                std::to_string(seconds.count()) + " " +
                (entry.media_type.empty() ? "-" : entry.media_type) + " " + entry.name + "\n";
    }
    return with_copy(text);
}

Result<std::vector<ReferenceEntry>> parse_entries(const std::string& path, std::string_view text) {
    std::vector<ReferenceEntry> entries;
    size_t number = 0;
    for (std::string_view line : split_lines(text)) {
        ++number;
        if (line.empty() || (number == 1 && line == kFirstLine)) continue;
        std::vector<std::string_view> parts = split(line, ' ');
        auto digest = spec::Digest::parse(parts[0]);
        auto size = parts.size() == 5 ? parse_number<uint64_t>(parts[1]) : std::nullopt;
        auto seconds = parts.size() == 5 ? parse_number<int64_t>(parts[2]) : std::nullopt;
        if (!digest || !size || !seconds || parts[4].empty())
            return fail(Errc::corrupt,
                        path + ", line " + std::to_string(number) + ": cannot be read");
        entries.push_back({std::string{parts[4]}, std::move(*digest),
                           parts[3] == "-" ? "" : std::string{parts[3]}, *size,
                           Clock::time_point{std::chrono::seconds(*seconds)}});
    }
    return entries;
}

Result<std::vector<ReferenceEntry>> load_entries(const std::string& path) {
    auto text = read_file(path, kMaxFile);
    if (!text) {
        if (text.error().code == Errc::not_found) return std::vector<ReferenceEntry>{};
        return fail(std::move(text).error());
    }
    CopiedText content = without_copy(*text);
    if (content.text.empty())
        return fail(Errc::corrupt, path + ": is damaged, and so is its copy",
                    "remove that file; the images can be pulled again");
    return parse_entries(path, content.text);
}

/// Reads, changes and replaces the file under its lock.
template <typename Change>
Result<void> update_entries(const std::string& root, Change change) {
    LockFile lock = TRY(LockFile::acquire(root + "/references.lock"));
    std::string path = root + "/references";
    std::vector<ReferenceEntry> entries = TRY(load_entries(path));
    if (!change(entries)) return {};
    std::sort(entries.begin(), entries.end(),
              [](const ReferenceEntry& a, const ReferenceEntry& b) { return a.name < b.name; });
    // Durable: a lost file would lose every name at once.
    return write_file_atomically(path, format_entries(entries), {.mode = 0644, .durable = true});
}

bool is_plain_word(std::string_view text) {
    return text.find_first_of(" \t\n\r") == std::string_view::npos;
}

}  // namespace

Result<bool> References::is_whole() const {
    auto text = read_file(root_ + "/references", kMaxFile);
    if (!text && text.error().code == Errc::not_found) return false;
    return without_copy(TRY(std::move(text))).is_whole;
}

Result<void> References::mend() const {
    return update_entries(root_, [](std::vector<ReferenceEntry>&) { return true; });
}

Result<std::vector<ReferenceEntry>> References::list() const {
    return load_entries(root_ + "/references");
}

Result<std::optional<ReferenceEntry>> References::find(const std::string& name) const {
    for (ReferenceEntry& entry : TRY(list()))
        if (entry.name == name) return std::optional{std::move(entry)};
    return std::optional<ReferenceEntry>{};
}

Result<void> References::set(std::vector<ReferenceEntry> added) const {
    for (ReferenceEntry& entry : added) {
        if (entry.name.empty() || !is_plain_word(entry.name) || !is_plain_word(entry.media_type))
            return fail(Errc::invalid, "image name " + quote(entry.name) + ": has blanks");
        if (entry.digest.is_empty())
            return fail(Errc::invalid, "image name " + quote(entry.name) + ": has no digest");
        if (entry.updated == Clock::time_point{}) entry.updated = Clock::now();
    }
    return update_entries(root_, [&](std::vector<ReferenceEntry>& entries) {
        for (const ReferenceEntry& entry : added) {
            auto same = [&](const ReferenceEntry& other) { return other.name == entry.name; };
            auto found = std::find_if(entries.begin(), entries.end(), same);
            if (found == entries.end())
                entries.push_back(entry);
            else
                *found = entry;
        }
        return true;
    });
}

Result<void> References::set(ReferenceEntry entry) const {
    std::vector<ReferenceEntry> entries;
    entries.push_back(std::move(entry));
    return set(std::move(entries));
}

Result<bool> References::remove(const std::string& name) const {
    bool found = false;
    TRY(update_entries(root_, [&](std::vector<ReferenceEntry>& entries) {
        found = std::erase_if(entries,
                              [&](const ReferenceEntry& entry) { return entry.name == name; }) > 0;
        return found;
    }));
    return found;
}

}  // namespace hull::store
