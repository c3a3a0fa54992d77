#include "runtime/systemd_properties.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/text.hpp"

namespace hull::runtime {
namespace {

constexpr uint64_t kInfinity = UINT64_MAX;
constexpr uint64_t kMicrosecondsPerSecond = 1'000'000;
constexpr uint64_t kDefaultPeriod = 100'000;

uint64_t limit_value(int64_t limit) {
    return limit < 0 ? kInfinity : static_cast<uint64_t>(limit);
}

UnitProperty bytes_property(std::string name, std::vector<uint8_t> value) {
    return {std::move(name), "ay", [value = std::move(value)](DbusWriter& writer) {
                const size_t array = writer.begin_array(1);
                for (uint8_t byte : value)
                    writer.put_byte(byte);
                writer.end_array(array);
            }};
}

/// CPUQuotaPerSecUSec of quota and period, rounded up to 10 ms as systemd keeps it.
uint64_t quota_per_second(int64_t quota, uint64_t period) {
    if (quota < 0) return kInfinity;
    if (period == 0) period = kDefaultPeriod;
    uint64_t per_second = static_cast<uint64_t>(quota) * kMicrosecondsPerSecond / period;
    if (per_second % 10000 != 0) per_second = (per_second / 10000 + 1) * 10000;
    return per_second;
}

/// A cursor over GVariant's text form.
class VariantParser {
  public:
    explicit VariantParser(std::string_view text) : text_(trim(text)) {}

    /// Writes the value. @return  its D-Bus signature; nullopt: not of the form
    std::optional<std::string> put(DbusWriter& writer) {
        std::string type = take_type();
        std::string signature;
        if (!put_value(writer, std::move(type), signature) || !trim(text_).empty())
            return std::nullopt;
        return signature;
    }

  private:
    void skip_blanks() { text_ = trim(text_); }

    /// "uint64 " or "@as "; the D-Bus type, empty when none is given.
    std::string take_type() {
        skip_blanks();
        if (text_.starts_with('@')) {
            const size_t blank = text_.find(' ');
            std::string type(text_.substr(1, blank == std::string_view::npos ? blank : blank - 1));
            text_ = blank == std::string_view::npos ? std::string_view() : text_.substr(blank);
            return type;
        }
        static constexpr std::pair<std::string_view, const char*> kTypes[] = {
            {"boolean ", "b"},  {"byte ", "y"},   {"int16 ", "n"},  {"uint16 ", "q"},
            {"int32 ", "i"},    {"handle ", "h"}, {"uint32 ", "u"}, {"int64 ", "x"},
            {"uint64 ", "t"},   {"double ", "d"}, {"string ", "s"}, {"objectpath ", "o"},
            {"signature ", "g"}};
        for (const auto& [word, type] : kTypes) {
            if (!text_.starts_with(word)) continue;
            text_.remove_prefix(word.size());
            return type;
        }
        return {};
    }

    std::optional<std::string> take_string() {
        const char end = text_[0];
        std::string value;
        for (size_t i = 1; i < text_.size(); ++i) {
            if (text_[i] == end) {
                text_.remove_prefix(i + 1);
                return value;
            }
            if (text_[i] == '\\') {
                if (++i >= text_.size()) return std::nullopt;
                const char c = text_[i];
                value += c == 'n' ? '\n' : c == 't' ? '\t' : c;
                continue;
            }
            value += text_[i];
        }
        return std::nullopt;
    }

    std::string_view take_word() {
        size_t size = 0;
        while (size < text_.size() && text_[size] != ',' && text_[size] != ']' &&
               text_[size] != ' ')
            ++size;
        auto word = text_.substr(0, size);
        text_.remove_prefix(size);
        return word;
    }

    bool put_value(DbusWriter& writer, std::string type, std::string& signature) {
        skip_blanks();
        if (text_.empty()) return false;
        if (text_[0] == '[') return put_array(writer, type, signature);
        if (text_[0] == '\'' || text_[0] == '"') {
            auto value = take_string();
            if (!value || (!type.empty() && type != "s" && type != "o" && type != "g"))
                return false;
            signature = type.empty() ? "s" : type;
            if (signature == "g")
                writer.put_signature(*value);
            else
                writer.put_string(*value);
            return true;
        }
        return put_plain(writer, std::move(type), signature);
    }

    bool put_plain(DbusWriter& writer, std::string type, std::string& signature) {
        const auto word = take_word();
        if (word == "true" || word == "false") {
            if (!type.empty() && type != "b") return false;
            signature = "b";
            writer.put_bool(word == "true");
            return true;
        }
        if (type.empty()) type = word.find('.') != std::string_view::npos ? "d" : "i";
        signature = type;
        if (type == "d") {
            double value = 0;
            auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), value);
            writer.put_double(value);
            return failed == std::errc{} && end == word.data() + word.size();
        }
        return put_number(writer, type[0], word);
    }

    static bool put_number(DbusWriter& writer, char type, std::string_view word) {
        switch (type) {
            case 'y':
                if (auto value = parse_number<uint8_t>(word)) return writer.put_byte(*value), true;
                return false;
            case 'n':
                if (auto value = parse_number<int16_t>(word)) return writer.put_int16(*value), true;
                return false;
            case 'q':
                if (auto value = parse_number<uint16_t>(word))
                    return writer.put_int16(static_cast<int16_t>(*value)), true;
                return false;
            case 'i':
            case 'h':
                if (auto value = parse_number<int32_t>(word)) return writer.put_int32(*value), true;
                return false;
            case 'u':
                if (auto value = parse_number<uint32_t>(word))
                    return writer.put_uint32(*value), true;
                return false;
            case 'x':
                if (auto value = parse_number<int64_t>(word))
                    return writer.put_uint64(static_cast<uint64_t>(*value)), true;
                return false;
            case 't':
                if (auto value = parse_number<uint64_t>(word))
                    return writer.put_uint64(*value), true;
                return false;
            default:
                return false;
        }
    }

    bool put_array(DbusWriter& writer, const std::string& type, std::string& signature) {
        text_.remove_prefix(1);
        skip_blanks();
        std::string element = type.starts_with('a') ? type.substr(1) : type;
        if (element.size() > 1) return false;  // arrays of basic types only
        if (element.empty() && !text_.empty()) {
            const bool is_text = text_[0] == '\'' || text_[0] == '"';
            element = is_text ? "s" : "";
            if (element.empty()) element = take_type();
            if (element.empty()) element = "i";
        }
        if (element.empty()) return false;
        const char kind = element[0];
        const size_t alignment = kind == 'y'                                 ? 1
                                 : kind == 'n' || kind == 'q'                ? 2
                                 : kind == 'x' || kind == 't' || kind == 'd' ? 8
                                                                             : 4;
        const size_t array = writer.begin_array(alignment);
        bool is_first = true;
        while (true) {
            skip_blanks();
            if (text_.empty()) return false;
            if (text_[0] == ']') break;
            if (!is_first) {
                if (text_[0] != ',') return false;
                text_.remove_prefix(1);
            }
            is_first = false;
            std::string got;
            if (!put_value(writer, element, got) || got != element) return false;
        }
        text_.remove_prefix(1);
        writer.end_array(array);
        signature = "a" + element;
        return true;
    }

    std::string_view text_;
};

void add_cpu_properties(std::vector<UnitProperty>& list, const kernel::CpuResources& cpu,
                        bool is_v2) {
    if (cpu.idle.value_or(0) == 1 && is_v2)
        list.push_back(uint64_property("CPUWeight", 0));  // systemd 252: idle
    else if (cpu.shares.value_or(0) != 0)
        list.push_back(is_v2 ? uint64_property("CPUWeight", kernel::shares_to_weight(*cpu.shares))
                             : uint64_property("CPUShares", *cpu.shares));
    if (cpu.period.value_or(0) != 0)
        list.push_back(uint64_property("CPUQuotaPeriodUSec", *cpu.period));
    if (cpu.quota.value_or(0) != 0)
        list.push_back(uint64_property("CPUQuotaPerSecUSec",
                                       quota_per_second(*cpu.quota, cpu.period.value_or(0))));
}

}  // namespace

void put_properties(DbusWriter& writer, const std::vector<UnitProperty>& properties) {
    const size_t array = writer.begin_array(8);
    for (const auto& property : properties) {
        writer.align(8);
        writer.put_string(property.name);
        writer.put_signature(property.signature);
        property.put_value(writer);
    }
    writer.end_array(array);
}

UnitProperty string_property(std::string name, std::string_view value) {
    return {std::move(name), "s",
            [value = std::string(value)](DbusWriter& writer) { writer.put_string(value); }};
}

UnitProperty bool_property(std::string name, bool value) {
    return {std::move(name), "b", [value](DbusWriter& writer) { writer.put_bool(value); }};
}

UnitProperty uint64_property(std::string name, uint64_t value) {
    return {std::move(name), "t", [value](DbusWriter& writer) { writer.put_uint64(value); }};
}

UnitProperty pids_property(std::string name, const std::vector<pid_t>& pids) {
    return {std::move(name), "au", [pids](DbusWriter& writer) {
                const size_t array = writer.begin_array(4);
                for (pid_t pid : pids)
                    writer.put_uint32(static_cast<uint32_t>(pid));
                writer.end_array(array);
            }};
}

Result<std::vector<UnitProperty>> resource_properties(const kernel::CgroupResources& resources,
                                                      bool is_v2) {
    std::vector<UnitProperty> list;
    const auto& memory = resources.memory;
    if (memory.limit.value_or(0) != 0)
        list.push_back(
            uint64_property(is_v2 ? "MemoryMax" : "MemoryLimit", limit_value(*memory.limit)));
    if (is_v2 && memory.reservation.value_or(0) != 0)
        list.push_back(uint64_property("MemoryLow", limit_value(*memory.reservation)));
    if (is_v2)
        if (auto swap = TRY(kernel::swap_to_v2(memory.swap, memory.limit)))
            list.push_back(uint64_property("MemorySwapMax", limit_value(*swap)));
    add_cpu_properties(list, resources.cpu, is_v2);
    if (is_v2 && !resources.cpu.cpus.value_or("").empty())
        list.push_back(bytes_property("AllowedCPUs", TRY(parse_cpu_list(*resources.cpu.cpus))));
    if (is_v2 && !resources.cpu.mems.value_or("").empty())
        list.push_back(
            bytes_property("AllowedMemoryNodes", TRY(parse_cpu_list(*resources.cpu.mems))));
    if (resources.pids_limit.value_or(0) != 0)
        list.push_back(uint64_property("TasksMax", limit_value(*resources.pids_limit)));
    if (!is_v2 && resources.block_io.weight.value_or(0) != 0)
        list.push_back(uint64_property("BlockIOWeight", *resources.block_io.weight));
    if (is_v2 && resources.block_io.weight.value_or(0) != 0)
        list.push_back(uint64_property(
            "IOWeight", kernel::block_weight_to_io_weight(*resources.block_io.weight)));
    return list;
}

Result<UnitProperty> parse_property_annotation(std::string_view name, std::string_view value) {
    const bool is_name = name.size() > 2 && std::all_of(name.begin(), name.end(), [](char c) {
                             return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
                         });
    if (!is_name)
        return fail(
            Errc::invalid,
            fmt::format("annotation org.systemd.property.{}: not a property's name", quote(name)),
            "a name is of at least three letters");
    std::string text(value);
    std::string target(name);
    if (name.ends_with("Sec") && !name.ends_with("USec")) {
        // "TimeoutStopSec" is for people; the bus has TimeoutStopUSec.
        auto number = trim(value);
        for (std::string_view type : {"uint64 ", "int64 ", "uint32 ", "int32 ", "double "})
            if (number.starts_with(type)) number.remove_prefix(type.size());
        double seconds = 0;
        auto [end, failed] = std::from_chars(number.data(), number.data() + number.size(), seconds);
        if (failed != std::errc{} || end != number.data() + number.size() || seconds < 0 ||
            seconds > 1e12)
            return fail(
                Errc::invalid,
                fmt::format("annotation org.systemd.property.{}: {} is no number of seconds", name,
                            quote(value)));
        target = std::string(name.substr(0, name.size() - 3)) + "USec";
        text = fmt::format("uint64 {}", static_cast<uint64_t>(std::llround(seconds * 1e6)));
    }
    DbusWriter scratch;
    auto signature = VariantParser(text).put(scratch);
    if (!signature)
        return fail(
            Errc::invalid,
            fmt::format("annotation org.systemd.property.{}: {} is no value", name, quote(value)),
            "write it as GVariant text: true, 'text', 5, uint64 5, ['a', 'b']");
    return UnitProperty{
        std::move(target), std::move(*signature),
        [text = std::move(text)](DbusWriter& writer) { (void)VariantParser(text).put(writer); }};
}

Result<std::vector<uint8_t>> parse_cpu_list(std::string_view list) {
    constexpr uint32_t kMost = 8192;
    std::vector<uint8_t> mask;
    for (auto part : split(trim(list), ',')) {
        part = trim(part);
        const size_t dash = part.find('-');
        auto first = parse_number<uint32_t>(part.substr(0, dash));
        auto last =
            dash == std::string_view::npos ? first : parse_number<uint32_t>(part.substr(dash + 1));
        if (!first || !last || *last < *first || *last >= kMost)
            return fail(Errc::invalid, "CPU list " + quote(list) + " does not parse",
                        "write it as 0-3,8");
        for (uint32_t cpu = *first; cpu <= *last; ++cpu) {
            if (mask.size() <= cpu / 8) mask.resize(cpu / 8 + 1);
            mask[cpu / 8] = static_cast<uint8_t>(mask[cpu / 8] | 1U << (cpu % 8));
        }
    }
    return mask;
}

}  // namespace hull::runtime
