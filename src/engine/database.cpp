#include "engine/database.hpp"

#include <algorithm>

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include "base/text.hpp"

namespace hull::engine {
namespace {

constexpr int kSchemaVersion = 1;
constexpr uint32_t kSlot = 65536;
/// Others hold the write lock for a transaction of microseconds; many of them may queue.
constexpr int kBusyTimeout = 30'000;  // ms

constexpr const char* kSchema = R"(
CREATE TABLE containers (
    id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, image TEXT NOT NULL,
    image_digest TEXT NOT NULL, image_id TEXT NOT NULL, created_at TEXT NOT NULL,
    intent TEXT NOT NULL, auto_remove INTEGER NOT NULL,
    range_first INTEGER NOT NULL, range_count INTEGER NOT NULL, config TEXT NOT NULL,
    boot_id TEXT NOT NULL DEFAULT '', started_at TEXT NOT NULL DEFAULT '',
    finished_at TEXT NOT NULL DEFAULT '', exit_code INTEGER NOT NULL DEFAULT 0,
    oom_killed INTEGER NOT NULL DEFAULT 0, error TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE INDEX containers_unsettled ON containers (intent) WHERE intent IN ('started', 'removing');
CREATE INDEX containers_ranges ON containers (range_first, range_count);
CREATE TABLE volumes (
    name TEXT PRIMARY KEY, created_at TEXT NOT NULL, anonymous INTEGER NOT NULL) WITHOUT ROWID;
)";

constexpr const char* kColumns =
    "SELECT id, name, image, image_digest, image_id, created_at, intent, auto_remove, range_first,"
    " range_count, config, boot_id, started_at, finished_at, exit_code, oom_killed, error"
    " FROM containers ";

Error database_error(const SQLite::Exception& thrown, const std::string& what) {
    Errc code = Errc::io;
    std::string hint;
    switch (thrown.getErrorCode()) {
        case SQLITE_NOTADB:
        case SQLITE_CORRUPT:
            code = Errc::corrupt;
            hint = "move hull.db away; images stay, containers must be made again";
            break;
        case SQLITE_FULL:
            hint = "free some disk space";
            break;
        case SQLITE_BUSY:
            code = Errc::timeout;
            hint = "another hull command holds the database; try again";
            break;
        default:
            break;
    }
    return make_error(code, what + ": " + thrown.what(), std::move(hint));
}

/// Runs `work` and turns SQLite's exceptions into an Error.
template <typename Work>
auto guarded(const std::string& what, Work&& work) -> decltype(work()) {
    try {
        return work();
    } catch (const SQLite::Exception& thrown) {
        return fail(database_error(thrown, what));
    }
}

Result<ContainerRecord> read_row(SQLite::Statement& row) {
    ContainerRecord out;
    out.id = row.getColumn(0).getString();
    out.name = row.getColumn(1).getString();
    out.image = row.getColumn(2).getString();
    out.image_digest = row.getColumn(3).getString();
    out.image_id = row.getColumn(4).getString();
    out.created_at = row.getColumn(5).getString();
    out.intent = TRY(parse_intent(row.getColumn(6).getString()));
    out.auto_remove = row.getColumn(7).getInt() != 0;
    out.range.first = static_cast<uint32_t>(row.getColumn(8).getInt64());
    out.range.count = static_cast<uint32_t>(row.getColumn(9).getInt64());
    out.config = TRY(parse_config(row.getColumn(10).getString()));
    out.boot_id = row.getColumn(11).getString();
    out.started_at = row.getColumn(12).getString();
    out.finished_at = row.getColumn(13).getString();
    out.exit_code = row.getColumn(14).getInt();
    out.oom_killed = row.getColumn(15).getInt() != 0;
    out.error = row.getColumn(16).getString();
    return out;
}

}  // namespace

std::optional<uint32_t> find_free_range(const Range& pool, std::vector<Range> used, uint32_t count,
                                        uint32_t start_slot) {
    uint32_t slots = pool.count / kSlot;
    uint32_t needed = count / kSlot + (count % kSlot != 0 ? 1 : 0);
    if (needed == 0 || needed > slots) return std::nullopt;
    std::vector<bool> taken(slots, false);
    for (const auto& range : used) {
        uint64_t first = std::max<uint64_t>(range.first, pool.first);
        uint64_t end = std::min<uint64_t>(uint64_t{range.first} + range.count,
                                          uint64_t{pool.first} + uint64_t{slots} * kSlot);
        for (uint64_t id = first; id < end;
             id = (id - pool.first) / kSlot * kSlot + kSlot + pool.first)
            taken[(id - pool.first) / kSlot] = true;
    }
    for (uint32_t i = 0; i < slots; i++) {
        uint32_t slot = (start_slot + i) % slots;
        if (slot + needed > slots) continue;
        bool is_free = std::none_of(taken.begin() + slot, taken.begin() + slot + needed,
                                    [](bool value) { return value; });
        if (is_free) return pool.first + slot * kSlot;
    }
    return std::nullopt;
}

struct Database::Handle {
    SQLite::Database db;
};

Database::Database(std::unique_ptr<Handle> handle) : handle_(std::move(handle)) {}
Database::Database(Database&&) noexcept = default;
Database& Database::operator=(Database&&) noexcept = default;
Database::~Database() = default;

Result<Database> Database::open(const std::string& path) {
    return guarded("open the database " + path, [&]() -> Result<Database> {
        auto handle = std::make_unique<Handle>(Handle{
            SQLite::Database(path, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyTimeout)});
        SQLite::Database& db = handle->db;
        // The last process to close would otherwise copy the whole log back, with fsync, each time.
        ::sqlite3_db_config(db.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
        // Without a daemon every command is the first to open the file, and the first one reads the
        // whole log: it has to stay short, and is copied back (with fsync) only so often.
        db.exec("PRAGMA wal_autocheckpoint=64; PRAGMA synchronous=NORMAL");
        auto version = [&] { return db.execAndGet("PRAGMA user_version").getInt(); };
        int found = version();
        if (found == 0) {
            db.exec("PRAGMA journal_mode=WAL");
            db.exec("BEGIN IMMEDIATE");
            SQLite::Statement check(db, "PRAGMA user_version");
            check.executeStep();
            bool is_new = check.getColumn(0).getInt() == 0;
            check.reset();
            if (is_new) {
                db.exec(kSchema);
                db.exec("PRAGMA user_version=" + std::to_string(kSchemaVersion));
            }
            db.exec("COMMIT");
            found = version();
        }
        if (found != kSchemaVersion)
            return fail(Errc::unsupported,
                        path + " has schema version " + std::to_string(found) +
                            ", this hull knows " + std::to_string(kSchemaVersion),
                        "use the hull that wrote it, or another --root");
        return Database(std::move(handle));
    });
}

Result<void> Database::insert(ContainerRecord& record, const std::optional<Pool>& pool) {
    return guarded("record the container", [&]() -> Result<void> {
        SQLite::Database& db = handle_->db;
        SQLite::Transaction transaction(db, SQLite::TransactionBehavior::IMMEDIATE);
        SQLite::Statement taken(db, "SELECT id FROM containers WHERE name = ?");
        taken.bind(1, record.name);
        if (taken.executeStep())
            return fail(Errc::exists,
                        "the name " + quote(record.name) + " is already in use by container " +
                            taken.getColumn(0).getString().substr(0, 12),
                        "hull rm " + record.name + ", or choose another --name");
        if (pool && record.range.count > 0) {
            std::vector<Range> used;
            SQLite::Statement ranges(
                db, "SELECT range_first, range_count FROM containers WHERE range_count > 0");
            while (ranges.executeStep())
                used.push_back({static_cast<uint32_t>(ranges.getColumn(0).getInt64()),
                                static_cast<uint32_t>(ranges.getColumn(1).getInt64())});
            auto first =
                find_free_range(pool->range, std::move(used), record.range.count, pool->start_slot);
            if (!first)
                return fail(Errc::conflict,
                            "no range of " + std::to_string(record.range.count) +
                                " ids is free for the container",
                            "remove containers, or give the user hull a larger range in "
                            "/etc/subuid and /etc/subgid");
            record.range.first = *first;
        }
        SQLite::Statement add(db,
                              "INSERT INTO containers (id, name, image, image_digest, image_id,"
                              " created_at, intent, auto_remove, range_first, range_count, config,"
                              " boot_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
        add.bind(1, record.id);
        add.bind(2, record.name);
        add.bind(3, record.image);
        add.bind(4, record.image_digest);
        add.bind(5, record.image_id);
        add.bind(6, record.created_at);
        add.bind(7, std::string(intent_name(record.intent)));
        add.bind(8, record.auto_remove ? 1 : 0);
        add.bind(9, static_cast<int64_t>(record.range.first));
        add.bind(10, static_cast<int64_t>(record.range.count));
        add.bind(11, format_config(record.config));
        add.bind(12, record.boot_id);
        add.exec();
        transaction.commit();
        return {};
    });
}

Result<ContainerRecord> Database::find(const std::string& text) {
    return guarded("look up the container", [&]() -> Result<ContainerRecord> {
        SQLite::Database& db = handle_->db;
        SQLite::Statement exact(db, std::string(kColumns) + "WHERE name = ?1 OR id = ?1");
        exact.bind(1, text);
        if (exact.executeStep()) return read_row(exact);
        bool is_hex = !text.empty() && text.size() < 64 &&
                      text.find_first_not_of("0123456789abcdef") == std::string::npos;
        if (is_hex) {
            SQLite::Statement prefix(db, std::string(kColumns) + "WHERE id >= ?1 AND id < ?2");
            prefix.bind(1, text);
            prefix.bind(2, text + "g");
            if (prefix.executeStep()) {
                auto found = read_row(prefix);
                if (prefix.executeStep())
                    return fail(Errc::conflict,
                                "the id " + quote(text) + " fits several containers",
                                "give more digits");
                return found;
            }
        }
        return fail(Errc::not_found, "no such container: " + text, "hull ps -a lists them all");
    });
}

Result<std::optional<ContainerRecord>> Database::get(const std::string& id) {
    return guarded("look up the container", [&]() -> Result<std::optional<ContainerRecord>> {
        SQLite::Statement row(handle_->db, std::string(kColumns) + "WHERE id = ?");
        row.bind(1, id);
        if (!row.executeStep()) return std::nullopt;
        return TRY(read_row(row));
    });
}

Result<std::vector<ContainerRecord>> Database::list() {
    return guarded("list containers", [&]() -> Result<std::vector<ContainerRecord>> {
        std::vector<ContainerRecord> out;
        SQLite::Statement row(handle_->db, std::string(kColumns) + "ORDER BY created_at DESC, id");
        while (row.executeStep())
            out.push_back(TRY(read_row(row)));
        return out;
    });
}

namespace {

Result<std::vector<std::string>> read_column(SQLite::Statement& row) {
    std::vector<std::string> out;
    while (row.executeStep())
        out.push_back(row.getColumn(0).getString());
    return out;
}

}  // namespace

Result<std::vector<std::string>> Database::list_unsettled() {
    return guarded("list containers", [&] {
        SQLite::Statement row(handle_->db,
                              "SELECT id FROM containers WHERE intent IN ('started', 'removing')");
        return read_column(row);
    });
}

Result<void> Database::update(const ContainerRecord& record) {
    return guarded("update the container", [&]() -> Result<void> {
        SQLite::Statement set(handle_->db,
                              "UPDATE containers SET intent = ?, name = ?, boot_id = ?,"
                              " started_at = ?, finished_at = ?, exit_code = ?, oom_killed = ?,"
                              " error = ?, config = ? WHERE id = ?");
        set.bind(1, std::string(intent_name(record.intent)));
        set.bind(2, record.name);
        set.bind(3, record.boot_id);
        set.bind(4, record.started_at);
        set.bind(5, record.finished_at);
        set.bind(6, record.exit_code);
        set.bind(7, record.oom_killed ? 1 : 0);
        set.bind(8, record.error);
        set.bind(9, format_config(record.config));
        set.bind(10, record.id);
        set.exec();
        return {};
    });
}

Result<void> Database::erase(const std::string& id) {
    return guarded("forget the container", [&]() -> Result<void> {
        SQLite::Statement row(handle_->db, "DELETE FROM containers WHERE id = ?");
        row.bind(1, id);
        row.exec();
        return {};
    });
}

Result<std::vector<std::string>> Database::users_of_image(const std::string& image_id) {
    return guarded("list containers", [&] {
        SQLite::Statement row(handle_->db, "SELECT id FROM containers WHERE image_id = ?");
        row.bind(1, image_id);
        return read_column(row);
    });
}

Result<std::vector<std::string>> Database::images_in_use() {
    return guarded("list containers", [&] {
        SQLite::Statement row(handle_->db, "SELECT DISTINCT image_digest FROM containers");
        return read_column(row);
    });
}

Result<bool> Database::insert_volume(const VolumeRecord& volume) {
    return guarded("record the volume", [&]() -> Result<bool> {
        SQLite::Statement add(handle_->db,
                              "INSERT INTO volumes (name, created_at, anonymous) VALUES (?, ?, ?)"
                              " ON CONFLICT DO NOTHING");
        add.bind(1, volume.name);
        add.bind(2, volume.created_at);
        add.bind(3, volume.anonymous ? 1 : 0);
        return add.exec() > 0;
    });
}

Result<std::optional<VolumeRecord>> Database::get_volume(const std::string& name) {
    for (auto& volume : TRY(list_volumes()))
        if (volume.name == name) return volume;
    return std::nullopt;
}

Result<std::vector<VolumeRecord>> Database::list_volumes() {
    return guarded("list volumes", [&]() -> Result<std::vector<VolumeRecord>> {
        std::vector<VolumeRecord> out;
        SQLite::Statement row(handle_->db,
                              "SELECT name, created_at, anonymous FROM volumes ORDER BY name");
        while (row.executeStep())
            out.push_back({row.getColumn(0).getString(), row.getColumn(1).getString(),
                           row.getColumn(2).getInt() != 0});
        return out;
    });
}

Result<void> Database::erase_volume(const std::string& name) {
    return guarded("forget the volume", [&]() -> Result<void> {
        SQLite::Statement row(handle_->db, "DELETE FROM volumes WHERE name = ?");
        row.bind(1, name);
        row.exec();
        return {};
    });
}

}  // namespace hull::engine
