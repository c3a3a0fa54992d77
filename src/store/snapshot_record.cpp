#include "store/snapshot_record.hpp"

#include <algorithm>

#include "base/file.hpp"
#include "base/text.hpp"
#include "store/checksum.hpp"

namespace hull::store {

Result<void> save_snapshot_record(const std::string& directory, const SnapshotRecord& record) {
    std::string text = record.driver == SnapshotDriver::copy ? "driver copy\n" : "driver overlay\n";
    text += record.userxattr ? "userxattr yes\n" : "userxattr no\n";
    for (const spec::Digest& diff_id : record.diff_ids)
        text += "layer " + diff_id.to_string() + "\n";
    return write_file_atomically(directory + "/record", with_copy(text));
}

Result<SnapshotRecord> load_snapshot_record(const std::string& directory) {
    std::string path = directory + "/record";
    std::string file = TRY(read_file(path, 1U << 20U));
    auto [text, is_whole] = without_copy(file);
    if (text.empty())
        return fail(Errc::corrupt, path + ": is damaged",
                    "what the container wrote is in " + directory + "; make the container again");
    SnapshotRecord record;
    record.is_whole = is_whole;
    for (std::string_view line : split_lines(text)) {
        size_t blank = std::min(line.find(' '), line.size());
        std::string_view key = line.substr(0, blank);
        std::string_view value = line.substr(std::min(blank + 1, line.size()));
        if (key == "layer")
            record.diff_ids.push_back(TRY(with_context(spec::Digest::parse(value), path)));
        else if (key == "driver")
            record.driver = value == "copy" ? SnapshotDriver::copy : SnapshotDriver::overlay;
        else if (key == "userxattr")
            record.userxattr = value == "yes";
    }
    return record;
}

}  // namespace hull::store
