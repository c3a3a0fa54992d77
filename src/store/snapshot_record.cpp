#include "store/snapshot_record.hpp"

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::store {

Result<void> save_snapshot_record(const std::string& directory, const SnapshotRecord& record) {
    std::string text = record.driver == SnapshotDriver::copy ? "driver copy\n" : "driver overlay\n";
    text += record.userxattr ? "userxattr yes\n" : "userxattr no\n";
    for (const spec::Digest& diff_id : record.diff_ids)
        text += "layer " + diff_id.to_string() + "\n";
    return write_file_atomically(directory + "/record", text);
}

Result<SnapshotRecord> load_snapshot_record(const std::string& directory) {
    std::string path = directory + "/record";
    SnapshotRecord record;
    bool has_driver = false;
    std::string text = TRY(read_file(path, 1U << 20U));
    for (std::string_view line : split_lines(text)) {
        size_t blank = line.find(' ');
        std::string_view key = line.substr(0, blank);
        std::string_view value = blank == std::string_view::npos ? "" : line.substr(blank + 1);
        if (key == "layer") {
            auto digest = spec::Digest::parse(value);
            if (!digest) return fail(Errc::corrupt, path + ": a layer cannot be read");
            record.diff_ids.push_back(std::move(*digest));
        } else if (key == "driver") {
            has_driver = true;
            record.driver = value == "copy" ? SnapshotDriver::copy : SnapshotDriver::overlay;
        } else if (key == "userxattr") {
            record.userxattr = value == "yes";
        }
    }
    if (!has_driver) return fail(Errc::corrupt, path + ": cannot be read");
    return record;
}

}  // namespace hull::store
