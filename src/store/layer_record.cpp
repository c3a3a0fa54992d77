#include "store/layer_record.hpp"

#include <unistd.h>

#include <map>

#include "base/file.hpp"
#include "base/text.hpp"
#include "store/checksum.hpp"

namespace hull::store {

const std::string& current_boot_id() {
    static const std::string id = [] {
        auto text = read_file("/proc/sys/kernel/random/boot_id", 100);
        return text ? std::string{trim(*text)} : std::string{"unknown"};
    }();
    return id;
}

Result<LayerRecord> load_layer_record(const std::string& folder) {
    std::string path = folder + "/record";
    std::string file = TRY(read_file(path, 1U << 16U));
    std::string_view text = without_checksum(file);
    if (text.empty()) return fail(Errc::corrupt, path + ": is damaged", "pull the image again");
    std::map<std::string, std::string, std::less<>> fields;
    for (std::string_view line : split_lines(text)) {
        size_t blank = line.find(' ');
        if (blank != std::string_view::npos)
            fields[std::string{line.substr(0, blank)}] = std::string{line.substr(blank + 1)};
    }
    auto damaged = [&](std::string_view field) {
        return fail(Errc::corrupt, path + ": " + std::string{field} + " cannot be read",
                    "pull the image again");
    };
    LayerRecord record;
    auto digest = spec::Digest::parse(fields["diff-id"]);
    if (!digest) return damaged("diff-id");
    record.diff_id = std::move(*digest);
    auto read_count = [&](const char* name, uint64_t& target) {
        auto value = parse_number<uint64_t>(fields[name]);
        if (value) target = *value;
        return value.has_value();
    };
    if (!read_count("entries", record.entries)) return damaged("entries");
    if (!read_count("bytes", record.bytes)) return damaged("bytes");
    if (!read_count("tar-bytes", record.tar_bytes)) return damaged("tar-bytes");
    auto highest = parse_number<uint32_t>(fields["highest-id"]);
    if (!highest) return damaged("highest-id");
    record.highest_id = *highest;
    auto names = parse_number<uint64_t>(fields["names"]);
    auto file_bytes = parse_number<uint64_t>(fields["file-bytes"]);
    if (names.has_value() != file_bytes.has_value()) return damaged("names");
    if (names && file_bytes) record.count = {*names, *file_bytes};
    if (fields["userxattr"] != "yes" && fields["userxattr"] != "no") return damaged("userxattr");
    record.userxattr = fields["userxattr"] == "yes";
    record.boot_id = fields["boot-id"];
    record.durable = ::access((folder + "/durable").c_str(), F_OK) == 0;
    if (auto implied = read_file(folder + "/implied")) {
        for (std::string_view name : split(*implied, '\0'))
            record.implied_directories.emplace_back(name);
    } else if (implied.error().code != Errc::not_found) {
        return fail(std::move(implied).error());
    }
    return record;
}

Result<void> save_layer_record(const std::string& folder, const LayerRecord& record) {
    std::string text = "diff-id " + record.diff_id.to_string() + "\nentries " +
                       std::to_string(record.entries) + "\nbytes " + std::to_string(record.bytes) +
                       "\ntar-bytes " + std::to_string(record.tar_bytes) + "\nhighest-id " +
                       std::to_string(record.highest_id) + "\nuserxattr " +
                       (record.userxattr ? "yes" : "no") + "\nboot-id " + current_boot_id() + "\n";
    if (record.count)
        text += "names " + std::to_string(record.count->names) + "\nfile-bytes " +
                std::to_string(record.count->file_bytes) + "\n";
    if (!record.implied_directories.empty()) {
        std::string names = join(record.implied_directories, std::string_view{"\0", 1});
        TRY(write_file_atomically(folder + "/implied", names, {.durable = true}));
    }
    return write_file_atomically(folder + "/record", with_checksum(std::move(text)),
                                 {.durable = true});
}

}  // namespace hull::store
