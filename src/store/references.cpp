#include "store/references.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::store {
namespace {

using Clock = std::chrono::system_clock;

constexpr size_t kMaxFile = 64U << 20U;

// One line each: DIGEST SIZE SECONDS MEDIA-TYPE NAME ~SUM. None of the parts can hold a blank. The
// sum is over what stands before it, so that a flipped bit cannot turn one name into another; lines
// of older stores have none.

constexpr char kSumMark = '~';  // no name has it

/// FNV-1a: any one changed byte gives another sum.
std::string checksum(std::string_view text) {
    uint32_t sum = 2166136261U;
    for (char c : text)
        sum = (sum ^ static_cast<unsigned char>(c)) * 16777619U;
    std::string bytes;
    for (unsigned shift : {24U, 16U, 8U, 0U})
        bytes += static_cast<char>((sum >> shift) & 0xffU);
    return kSumMark + to_hex(bytes);
}

std::string format_entries(const std::vector<ReferenceEntry>& entries) {
    std::string text;
    for (const ReferenceEntry& entry : entries) {
        auto seconds =
            std::chrono::duration_cast<std::chrono::seconds>(entry.updated.time_since_epoch());
        std::string line = entry.digest.to_string() + " " + std::to_string(entry.size) + " " +
                           std::to_string(seconds.count()) + " " +
                           (entry.media_type.empty() ? "-" : entry.media_type) + " " + entry.name;
        text += line + " " + checksum(line) + "\n";
    }
    return text;
}

Result<std::vector<ReferenceEntry>> parse_entries(const std::string& path, std::string_view text) {
    std::vector<ReferenceEntry> entries;
    size_t number = 0;
    for (std::string_view line : split_lines(text)) {
        ++number;
        if (line.empty()) continue;
        size_t sum = line.rfind(' ');
        bool has_sum = sum != std::string_view::npos && line.substr(sum + 1).starts_with(kSumMark);
        bool is_damaged = has_sum && checksum(line.substr(0, sum)) != line.substr(sum + 1);
        std::vector<std::string_view> parts = split(has_sum ? line.substr(0, sum) : line, ' ');
        auto digest = spec::Digest::parse(parts[0]);
        auto size = parts.size() == 5 ? parse_number<uint64_t>(parts[1]) : std::nullopt;
        auto seconds = parts.size() == 5 ? parse_number<int64_t>(parts[2]) : std::nullopt;
        if (is_damaged || !digest || !size || !seconds || parts[4].empty() ||
            parts[4].find(kSumMark) != std::string_view::npos)
            return fail(Errc::corrupt,
                        path + ", line " + std::to_string(number) + ": cannot be read",
                        "remove that line; the image it named can be pulled again");
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
    return parse_entries(path, *text);
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
