#include "kernel/idmap.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/text.hpp"

namespace hull::kernel {

std::string format_id_map(const IdMap& map) {
    std::string lines;
    for (const IdRange& range : map)
        lines += std::to_string(range.inside) + " " + std::to_string(range.outside) + " " +
                 std::to_string(range.count) + "\n";
    return lines;
}

Result<IdMap> parse_id_map(std::string_view text) {
    IdMap map;
    for (std::string_view line : split(text, '\n')) {
        if (trim(line).empty()) continue;
        std::vector<uint32_t> numbers;
        for (std::string_view word : split(line, ' ')) {
            if (word.empty()) continue;
            auto number = parse_number<uint32_t>(word);
            if (!number) return fail(Errc::invalid, "id map: unexpected line " + quote(line));
            numbers.push_back(*number);
        }
        if (numbers.size() != 3)
            return fail(Errc::invalid, "id map: unexpected line " + quote(line));
        map.push_back({numbers[0], numbers[1], numbers[2]});
    }
    return map;
}

namespace {

/// Whether two of the ranges that start at `first` (a member of IdRange) share an id.
bool overlaps(const IdMap& map, uint32_t IdRange::* first) {
    IdMap sorted = map;
    std::sort(sorted.begin(), sorted.end(),
              [first](const IdRange& a, const IdRange& b) { return a.*first < b.*first; });
    for (size_t i = 1; i < sorted.size(); ++i) {
        uint64_t end = uint64_t{sorted[i - 1].*first} + sorted[i - 1].count;
        if (end > sorted[i].*first) return true;
    }
    return false;
}

}  // namespace

Result<void> check_id_map(const IdMap& map, std::string_view what) {
    constexpr size_t kMaxRanges = 340;      // user_namespaces(7), since 4.15
    constexpr uint64_t kIds = 0xFFFFFFFFU;  // (uid_t) -1 is no id
    std::string field(what);
    if (map.empty()) return fail(Errc::invalid, field + ": maps no id");
    if (map.size() > kMaxRanges)
        return fail(Errc::invalid, field + ": has " + std::to_string(map.size()) +
                                       " ranges, the kernel takes at most 340");
    for (size_t i = 0; i < map.size(); ++i) {
        std::string name = field + "[" + std::to_string(i) + "]";
        if (map[i].count == 0) return fail(Errc::invalid, name + ": maps 0 ids");
        if (uint64_t{map[i].inside} + map[i].count > kIds ||
            uint64_t{map[i].outside} + map[i].count > kIds)
            return fail(Errc::invalid, name + ": goes beyond the last id, 4294967294");
    }
    if (overlaps(map, &IdRange::inside))
        return fail(Errc::invalid, field + ": two ranges share ids inside the container");
    if (overlaps(map, &IdRange::outside))
        return fail(Errc::invalid, field + ": two ranges share ids of the host");
    return {};
}

std::optional<uint32_t> to_outside(const IdMap& map, uint32_t inside) {
    for (const IdRange& range : map)
        if (inside >= range.inside && inside - range.inside < range.count)
            return range.outside + (inside - range.inside);
    return std::nullopt;
}

std::optional<uint32_t> to_inside(const IdMap& map, uint32_t outside) {
    for (const IdRange& range : map)
        if (outside >= range.outside && outside - range.outside < range.count)
            return range.inside + (outside - range.outside);
    return std::nullopt;
}

IdMap identity_map(uint32_t count) {
    return {{0, 0, count}};
}

uint64_t mapped_count(const IdMap& map) {
    uint64_t count = 0;
    for (const IdRange& range : map)
        count += range.count;
    return count;
}

}  // namespace hull::kernel
