#include "engine/ranges.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include "base/file.hpp"
#include "base/text.hpp"

namespace hull::engine {
namespace {

constexpr std::string_view kOwner = "hull";
constexpr uint32_t kDefaultFirst = 1073741824;
constexpr uint32_t kDefaultCount = 268435456;
constexpr const char* kUserFile = "/etc/subuid";
constexpr const char* kGroupFile = "/etc/subgid";

Result<std::vector<kernel::SubidEntry>> load_entries(const std::string& path) {
    auto text = read_file(path);
    if (!text) {
        if (text.error().code == Errc::not_found) return std::vector<kernel::SubidEntry>();
        return fail(std::move(text).error());
    }
    return kernel::parse_subid_file(*text, path);
}

const kernel::SubidRange* find_own(const std::vector<kernel::SubidEntry>& entries) {
    for (const auto& entry : entries)
        if (entry.owner == kOwner) return &entry.range;
    return nullptr;
}

Result<HullRange> split_range(const kernel::SubidRange& range) {
    if (range.count < 2 * kIdsPerContainer)
        return fail(
            Errc::invalid,
            "the hull entry of /etc/subuid has only " + std::to_string(range.count) + " ids",
            "give it at least 131072, better 268435456");
    return HullRange{{range.first, kIdsPerContainer},
                     {range.first + kIdsPerContainer, range.count - kIdsPerContainer}};
}

/// The lock that useradd(8) and usermod(8) take on the file: FILE.lock, made by link(2), holding
/// the pid of its owner.
class ShadowLock {
  public:
    static Result<ShadowLock> acquire(const std::string& file) {
        std::string lock = file + ".lock";
        std::string own = file + "." + std::to_string(::getpid());
        TRY(write_file_atomically(own, std::to_string(::getpid()), {.mode = 0600}));
        for (int attempt = 0; attempt < 600; attempt++) {
            if (::link(own.c_str(), lock.c_str()) == 0) {
                ::unlink(own.c_str());
                return ShadowLock(lock);
            }
            if (errno != EEXIST) break;
            remove_if_stale(lock);
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
        }
        int failed = errno;
        ::unlink(own.c_str());
        return fail_errno(failed, "lock " + file, "another program holds " + lock);
    }
    ShadowLock(ShadowLock&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    ShadowLock& operator=(ShadowLock&&) = delete;
    ~ShadowLock() {
        if (!path_.empty()) ::unlink(path_.c_str());
    }

  private:
    explicit ShadowLock(std::string path) : path_(std::move(path)) {}
    static void remove_if_stale(const std::string& lock) {
        auto text = read_file(lock, 64);
        auto pid = text ? parse_number<pid_t>(trim(text->c_str())) : std::nullopt;
        if (pid && *pid > 0 && ::kill(*pid, 0) < 0 && errno == ESRCH) ::unlink(lock.c_str());
    }
    std::string path_;
};

Result<void> append_entry(const std::string& path, const kernel::SubidRange& range) {
    std::string content;
    mode_t mode = 0644;
    struct stat info{};
    if (::stat(path.c_str(), &info) == 0) {
        content = TRY(read_file(path));
        mode = info.st_mode & 0777U;
    }
    if (!content.empty() && content.back() != '\n') content += '\n';
    content += std::string(kOwner) + ":" + std::to_string(range.first) + ":" +
               std::to_string(range.count) + "\n";
    return write_file_atomically(path, content, {.mode = mode, .durable = true});
}

Result<HullRange> create_entry() {
    auto user_lock = TRY(ShadowLock::acquire(kUserFile));
    auto group_lock = TRY(ShadowLock::acquire(kGroupFile));
    auto users = TRY(load_entries(kUserFile));
    auto groups = TRY(load_entries(kGroupFile));
    const auto* own_user = find_own(users);
    const auto* own_group = find_own(groups);
    if (own_user != nullptr && own_group != nullptr) return split_range(*own_user);
    kernel::SubidRange range{0, kDefaultCount};
    if (own_user != nullptr)
        range = *own_user;  // an interrupted first run made only one of the two
    else if (own_group != nullptr)
        range = *own_group;
    else
        range.first = TRY(choose_range(users, groups, kDefaultFirst, kDefaultCount));
    if (own_user == nullptr) TRY(append_entry(kUserFile, range));
    if (own_group == nullptr) TRY(append_entry(kGroupFile, range));
    return split_range(range);
}

}  // namespace

Result<uint32_t> choose_range(const std::vector<kernel::SubidEntry>& users,
                              const std::vector<kernel::SubidEntry>& groups, uint32_t wanted,
                              uint32_t count) {
    std::vector<kernel::SubidRange> others;
    for (const auto* entries : {&users, &groups})
        for (const auto& entry : *entries)
            others.push_back(entry.range);
    std::ranges::sort(others, {}, &kernel::SubidRange::first);
    uint64_t first = wanted;
    for (const auto& other : others) {
        uint64_t end = uint64_t{other.first} + other.count;
        if (other.first < first + count && end > first)
            first = (end + kIdsPerContainer - 1) / kIdsPerContainer * kIdsPerContainer;
    }
    if (first + count > 0xffffffffULL)
        return fail(Errc::conflict,
                    "no " + std::to_string(count) + " ids in a row are free for containers",
                    "add a line hull:FIRST:COUNT to /etc/subuid and /etc/subgid by hand");
    return static_cast<uint32_t>(first);
}

Result<HullRange> prepare_hull_range() {
    auto users = TRY(load_entries(kUserFile));
    auto groups = TRY(load_entries(kGroupFile));
    const auto* user = find_own(users);
    const auto* group = find_own(groups);
    if (user == nullptr || group == nullptr)
        return with_context(create_entry(), "give hull's containers a range of ids");
    if (!(*user == *group))
        return fail(Errc::invalid, "the hull entries of /etc/subuid and /etc/subgid differ",
                    "make them equal: containers use one range for users and groups");
    return split_range(*user);
}

uint32_t ids_needed(uint32_t uid, uint32_t gid) {
    uint64_t highest = std::max(uid, gid);
    return static_cast<uint32_t>((highest / kIdsPerContainer + 1) * kIdsPerContainer);
}

}  // namespace hull::engine
