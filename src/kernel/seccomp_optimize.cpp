#include "kernel/seccomp_optimize.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <tuple>

namespace hull::kernel {
namespace {

constexpr uint32_t kNumberOffset = offsetof(seccomp_data, nr);
constexpr uint32_t kArchitectureOffset = offsetof(seccomp_data, arch);
constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
constexpr uint16_t kAnd = BPF_ALU | BPF_AND | BPF_K;
constexpr uint16_t kReturn = BPF_RET | BPF_K;
constexpr uint16_t kJump = BPF_JMP | BPF_JA;
constexpr uint16_t kJumpEqual = BPF_JMP | BPF_JEQ | BPF_K;
constexpr uint16_t kJumpGreater = BPF_JMP | BPF_JGT | BPF_K;
constexpr uint16_t kJumpGreaterEqual = BPF_JMP | BPF_JGE | BPF_K;
constexpr uint16_t kJumpSet = BPF_JMP | BPF_JSET | BPF_K;

bool is_conditional(uint16_t code) {
    return code == kJumpEqual || code == kJumpGreater || code == kJumpGreaterEqual ||
           code == kJumpSet;
}

bool compare(uint16_t code, uint32_t value, uint32_t constant) {
    switch (code) {
        case kJumpEqual:
            return value == constant;
        case kJumpGreater:
            return value > constant;
        case kJumpGreaterEqual:
            return value >= constant;
        default:
            return (value & constant) != 0;
    }
}

using NodeId = uint32_t;

/// What is left to decide: an answer (code == kReturn, `constant` is it), or a test of a masked
/// word of the call's data. Equal decisions have equal ids.
struct Node {
    uint16_t code = kReturn;
    uint32_t constant = 0;
    uint32_t offset = 0;
    uint32_t mask = 0;
    NodeId yes = 0;
    NodeId no = 0;
    auto operator<=>(const Node&) const = default;
};

class NodeTable {
  public:
    NodeId add(const Node& node) {
        if (node.code != kReturn && node.yes == node.no) return node.yes;
        auto [found, is_new] = ids_.try_emplace(node, static_cast<NodeId>(nodes_.size()));
        if (is_new) nodes_.push_back(node);
        return found->second;
    }
    NodeId answer(uint32_t verdict) { return add({.code = kReturn, .constant = verdict}); }
    const Node& operator[](NodeId id) const { return nodes_[id]; }

  private:
    std::vector<Node> nodes_;
    std::map<Node, NodeId> ids_;
};

/// [start, start of the next) answers `node`.
struct Interval {
    uint32_t start = 0;
    NodeId node = 0;
    bool operator==(const Interval&) const = default;
};
using Intervals = std::vector<Interval>;

/// One program with its points of interest.
class Analysis {
  public:
    Analysis(std::span<const sock_filter> program, NodeTable& nodes)
        : program_(program), nodes_(nodes) {
        is_sound_ = find_boundaries();
    }

    /// False: the program has instructions that this analysis does not know.
    bool is_sound() const { return is_sound_; }
    const std::set<uint32_t>& architectures() const { return architectures_; }
    const std::set<uint32_t>& numbers() const { return numbers_; }

    std::optional<NodeId> evaluate(uint32_t architecture, uint32_t number) {
        architecture_ = architecture;
        number_ = number;
        memo_.clear();
        return follow(0, {.is_known = true});
    }

  private:
    /// The accumulator: a known number, or a masked word of the data.
    struct Accumulator {
        bool is_known = false;
        uint32_t value = 0;
        uint32_t offset = 0;
        uint32_t mask = UINT32_MAX;
        auto operator<=>(const Accumulator&) const = default;
    };

    /// Which constants the architecture and the number are compared with. Jumps only go forward,
    /// so one pass knows what the accumulator may hold at each instruction.
    bool find_boundaries() {
        enum Source : unsigned { none = 1, architecture = 2, number = 4, other = 8 };
        const size_t size = program_.size();
        std::vector<unsigned> sources(size, 0);
        if (size == 0) return false;
        sources[0] = none;
        for (size_t pc = 0; pc < size; ++pc) {
            const sock_filter& in = program_[pc];
            unsigned source = sources[pc];
            if (source == 0) continue;  // never reached
            if (in.code == kReturn) continue;
            auto reach = [&](uint64_t target) {
                if (target >= size) return false;
                sources[target] |= source;
                return true;
            };
            if (in.code == kLoad) {
                if (in.k % 4 != 0 || in.k >= sizeof(seccomp_data)) return false;
                source = in.k == kArchitectureOffset ? architecture
                         : in.k == kNumberOffset     ? number
                                                     : other;
                if (!reach(pc + 1)) return false;
            } else if (in.code == kAnd) {
                if (source != other) return false;
                if (!reach(pc + 1)) return false;
            } else if (in.code == kJump) {
                if (!reach(uint64_t{pc} + 1 + in.k)) return false;
            } else if (is_conditional(in.code)) {
                if ((source & none) != 0) return false;
                if ((source & (architecture | number)) != 0 && in.code == kJumpSet) return false;
                if ((source & architecture) != 0) add_boundary(architectures_, in);
                if ((source & number) != 0) add_boundary(numbers_, in);
                if (!reach(pc + 1 + in.jt) || !reach(pc + 1 + in.jf)) return false;
            } else {
                return false;
            }
        }
        return true;
    }

    static void add_boundary(std::set<uint32_t>& boundaries, const sock_filter& in) {
        if (in.code != kJumpGreater) boundaries.insert(in.k);
        if (in.code != kJumpGreaterEqual && in.k != UINT32_MAX) boundaries.insert(in.k + 1);
    }

    std::optional<NodeId> follow(size_t pc, Accumulator a) {
        while (true) {
            const sock_filter& in = program_[pc];
            if (in.code == kReturn) return nodes_.answer(in.k);
            if (in.code == kLoad) {
                if (in.k == kArchitectureOffset)
                    a = {.is_known = true, .value = architecture_};
                else if (in.k == kNumberOffset)
                    a = {.is_known = true, .value = number_};
                else
                    a = {.offset = in.k};
                ++pc;
            } else if (in.code == kAnd) {
                if (a.is_known) return std::nullopt;
                a.mask &= in.k;
                ++pc;
            } else if (in.code == kJump) {
                pc += 1 + in.k;
            } else if (a.is_known) {
                pc += 1 + (compare(in.code, a.value, in.k) ? in.jt : in.jf);
            } else {
                return branch(pc, a);
            }
        }
    }

    std::optional<NodeId> branch(size_t pc, const Accumulator& a) {
        auto key = std::make_pair(pc, a);
        if (auto known = memo_.find(key); known != memo_.end()) return known->second;
        const sock_filter& in = program_[pc];
        auto yes = follow(pc + 1 + in.jt, a);
        auto no = follow(pc + 1 + in.jf, a);
        if (!yes || !no) return std::nullopt;
        const NodeId id = nodes_.add({.code = in.code,
                                      .constant = in.k,
                                      .offset = a.offset,
                                      .mask = a.mask,
                                      .yes = *yes,
                                      .no = *no});
        memo_.emplace(std::move(key), id);
        return id;
    }

    std::span<const sock_filter> program_;
    NodeTable& nodes_;
    std::set<uint32_t> architectures_;
    std::set<uint32_t> numbers_;
    std::map<std::pair<size_t, Accumulator>, NodeId> memo_;
    uint32_t architecture_ = 0;
    uint32_t number_ = 0;
    bool is_sound_ = false;
};

/// The decisions of a program: for ranges of architectures, those for ranges of numbers.
struct Decisions {
    std::vector<std::pair<uint32_t, Intervals>> architectures;  ///< by first value
    bool operator==(const Decisions&) const = default;
};

void append(Intervals& intervals, Interval next) {
    if (intervals.empty() || intervals.back().node != next.node) intervals.push_back(next);
}

/// @param architectures, numbers  first values of the ranges to look at, without 0
std::optional<Decisions> decide(Analysis& analysis, const std::set<uint32_t>& architectures,
                                const std::set<uint32_t>& numbers) {
    Decisions decisions;
    auto look_at = [&](uint32_t architecture) {
        Intervals intervals;
        auto visit = [&](uint32_t number) {
            auto node = analysis.evaluate(architecture, number);
            if (node) append(intervals, {number, *node});
            return node.has_value();
        };
        if (!visit(0)) return false;
        for (uint32_t number : numbers)
            if (number != 0 && !visit(number)) return false;
        if (decisions.architectures.empty() || decisions.architectures.back().second != intervals)
            decisions.architectures.emplace_back(architecture, std::move(intervals));
        return true;
    };
    if (!look_at(0)) return std::nullopt;
    for (uint32_t architecture : architectures)
        if (architecture != 0 && !look_at(architecture)) return std::nullopt;
    return decisions;
}

/// Writes a program from its end to its start, since a jump must know its target. A position is
/// counted from the end: 0 is the last instruction.
class Emitter {
  public:
    explicit Emitter(const NodeTable& nodes) : nodes_(nodes) {}

    using Position = size_t;

    Position emit_node(NodeId id) {
        const Node& node = nodes_[id];
        auto known = positions_.find(id);
        if (known != positions_.end()) {
            // An answer is as short as a jump to it: repeat it where it is far.
            if (node.code != kReturn || distance(known->second) < 200) return known->second;
        }
        Position position;
        if (node.code == kReturn) {
            position = push(kReturn, 0, 0, node.constant);
        } else {
            const Position no = emit_node(node.no);
            const Position yes = emit_node(node.yes);
            conditional(node.code, node.constant, yes, no);
            if (node.mask != UINT32_MAX) push(kAnd, 0, 0, node.mask);
            position = push(kLoad, 0, 0, node.offset);
        }
        positions_[id] = position;
        return position;
    }

    /// The decision over the accumulator, which holds the number.
    Position emit_intervals(std::span<const Interval> intervals) {
        if (intervals.size() == 1) return emit_node(intervals[0].node);
        if (intervals.size() == 3 && intervals[0].node == intervals[2].node &&
            intervals[2].start == intervals[1].start + 1) {
            const Position rest = emit_node(intervals[0].node);
            const Position one = emit_node(intervals[1].node);
            return conditional(kJumpEqual, intervals[1].start, one, rest);
        }
        const size_t middle = intervals.size() / 2;
        const Position high = emit_intervals(intervals.subspan(middle));
        const Position low = emit_intervals(intervals.first(middle));
        return conditional(kJumpGreaterEqual, intervals[middle].start, high, low);
    }

    Position emit_numbers(const Intervals& intervals) {
        if (intervals.size() == 1) return emit_node(intervals[0].node);
        emit_intervals(intervals);
        return push(kLoad, 0, 0, kNumberOffset);
    }

    /// The whole program: single architectures, most used first, then what holds for all others.
    void emit_program(const Decisions& decisions, uint32_t first_architecture) {
        const auto& list = decisions.architectures;
        if (list.size() == 1) {
            emit_top(emit_numbers(list[0].second));
            return;
        }
        // Ranges of one value between ranges that all decide alike become a chain of equalities.
        const Intervals& rest = list[0].second;
        std::vector<size_t> singles;
        for (size_t i = 1; i < list.size(); ++i) {
            if (list[i].second == rest) continue;
            const bool is_single = i + 1 < list.size() ? list[i + 1].first == list[i].first + 1
                                                       : list[i].first == UINT32_MAX;
            if (!is_single) is_supported_ = false;
            singles.push_back(i);
        }
        std::stable_sort(singles.begin(), singles.end(), [&](size_t a, size_t b) {
            return (list[a].first == first_architecture) > (list[b].first == first_architecture);
        });
        Position next = emit_numbers(rest);
        std::vector<Position> bodies;
        for (size_t i = singles.size(); i-- > 0;)
            bodies.push_back(emit_numbers(list[singles[i]].second));
        for (size_t i = singles.size(); i-- > 0;)
            next = conditional(kJumpEqual, list[singles[i]].first, bodies[singles.size() - 1 - i],
                               next);
        push(kLoad, 0, 0, kArchitectureOffset);
    }

    std::optional<std::vector<sock_filter>> finish() {
        if (!is_supported_ || reversed_.size() > BPF_MAXINSNS) return std::nullopt;
        return std::vector<sock_filter>(reversed_.rbegin(), reversed_.rend());
    }

  private:
    /// Instructions between the next one and `target`.
    size_t distance(Position target) const { return reversed_.size() - target - 1; }

    Position push(uint16_t code, uint8_t jt, uint8_t jf, uint32_t k) {
        reversed_.push_back({code, jt, jf, k});
        return reversed_.size() - 1;
    }

    /// The program starts with its last written instruction: jump if that is not the start.
    void emit_top(Position start) {
        if (start + 1 != reversed_.size())
            push(kJump, 0, 0, static_cast<uint32_t>(distance(start)));
    }

    /// Conditional jumps reach 255 instructions: further ones go over a plain jump.
    Position conditional(uint16_t code, uint32_t k, Position yes, Position no) {
        constexpr size_t kReach = 250;
        if (distance(yes) > kReach) yes = bridge(yes);
        if (distance(no) > kReach) no = bridge(no);
        return push(code, static_cast<uint8_t>(distance(yes)), static_cast<uint8_t>(distance(no)),
                    k);
    }

    Position bridge(Position target) {
        return push(kJump, 0, 0, static_cast<uint32_t>(distance(target)));
    }

    const NodeTable& nodes_;
    std::vector<sock_filter> reversed_;
    std::map<NodeId, Position> positions_;
    bool is_supported_ = true;
};

}  // namespace

std::vector<sock_filter> prepend_ranges(std::span<const sock_filter> program,
                                        std::span<const SeccompRange> ranges) {
    std::vector<sock_filter> result;
    for (const auto& range : ranges) {
        result.push_back({kLoad, 0, 0, kArchitectureOffset});
        result.push_back({kJumpEqual, 0, 4, range.architecture});
        result.push_back({kLoad, 0, 0, kNumberOffset});
        result.push_back({kJumpGreaterEqual, 0, 2, range.first});
        result.push_back({kJumpGreater, 1, 0, range.last});
        result.push_back({kReturn, 0, 0, range.verdict});
    }
    result.insert(result.end(), program.begin(), program.end());
    return result;
}

std::optional<std::vector<sock_filter>> optimize_seccomp(std::span<const sock_filter> program,
                                                         uint32_t first_architecture) {
    NodeTable nodes;
    Analysis before(program, nodes);
    if (!before.is_sound()) return std::nullopt;
    auto architectures = before.architectures();
    auto numbers = before.numbers();
    auto wanted = decide(before, architectures, numbers);
    if (!wanted) return std::nullopt;

    Emitter emitter(nodes);
    emitter.emit_program(*wanted, first_architecture);
    auto result = emitter.finish();
    if (!result || result->size() >= program.size()) return std::nullopt;

    // The proof: the new program, looked at in the same way, decides the same everywhere.
    Analysis after(*result, nodes);
    if (!after.is_sound()) return std::nullopt;
    architectures.insert(after.architectures().begin(), after.architectures().end());
    numbers.insert(after.numbers().begin(), after.numbers().end());
    auto got = decide(after, architectures, numbers);
    auto again = decide(before, architectures, numbers);
    if (!got || !again || *got != *again) return std::nullopt;
    return result;
}

std::optional<uint32_t> run_seccomp_filter(std::span<const sock_filter> program,
                                           const seccomp_data& data) {
    uint32_t a = 0;
    for (size_t pc = 0; pc < program.size(); ++pc) {
        const sock_filter& in = program[pc];
        if (in.code == kReturn) return in.k;
        if (in.code == kLoad) {
            if (in.k % 4 != 0 || in.k >= sizeof data) return std::nullopt;
            std::memcpy(&a, reinterpret_cast<const char*>(&data) + in.k, sizeof a);
        } else if (in.code == kAnd) {
            a &= in.k;
        } else if (in.code == kJump) {
            pc += in.k;
        } else if (is_conditional(in.code)) {
            pc += compare(in.code, a, in.k) ? in.jt : in.jf;
        } else {
            return std::nullopt;
        }
    }
    return std::nullopt;
}

}  // namespace hull::kernel
