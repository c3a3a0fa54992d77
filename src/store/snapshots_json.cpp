#include "base/json_io.hpp"
#include "store/snapshots.hpp"

namespace hull::store {

std::string format_snapshot_mounts(const SnapshotMounts& mounts) {
    Json out;
    out["driver"] = mounts.driver == SnapshotDriver::copy ? "copy" : "overlay";
    out["directory"] = mounts.directory;
    out["lower"] = mounts.lower;
    out["upper"] = mounts.upper;
    out["work"] = mounts.work;
    out["userxattr"] = mounts.userxattr;
    out["plainIds"] = mounts.plain_ids;
    return dump_json(out);
}

Result<SnapshotMounts> parse_snapshot_mounts(std::string_view json) {
    Json document = TRY(parse_json(json, "snapshot mounts"));
    JsonReader in{document, "snapshot mounts"};
    TRY(in.expect_object());
    SnapshotMounts mounts;
    JsonReader driver = TRY(in.require("driver"));
    std::string name = TRY(driver.as_string());
    if (name != "overlay" && name != "copy") return driver.refuse("must be overlay or copy");
    mounts.driver = name == "copy" ? SnapshotDriver::copy : SnapshotDriver::overlay;
    TRY(in.read("directory", mounts.directory));
    TRY(in.read("lower", mounts.lower));
    mounts.upper = TRY(TRY(in.require("upper")).as_string());
    TRY(in.read("work", mounts.work));
    TRY(in.read("userxattr", mounts.userxattr));
    TRY(in.read("plainIds", mounts.plain_ids));
    return mounts;
}

}  // namespace hull::store
