#pragma once

#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json_io.hpp"
#include "spec/runtime.hpp"

// For runtime_json*.cpp only: it includes the JSON library.

namespace hull::spec {

/// Reads a document and goes on after each error, so that all are told at once.
class RuntimeReader {
  public:
    std::vector<Error> errors;
    /// Which members of each object were asked for; its path is without indices. For
    /// find_unknown_properties(), else not kept.
    using KnownMembers = std::map<std::string, std::set<std::string, std::less<>>, std::less<>>;
    KnownMembers* known = nullptr;

    void config(const JsonReader& in, RuntimeConfig& out);
    void process(const JsonReader& in, Process& out);
    void resources(const JsonReader& in, Resources& out);

  private:
    void know(const JsonReader& in, std::string_view key);
    void note(Result<void> result) {
        if (!result) errors.push_back(std::move(result).error());
    }
    template <typename T>
    void value(const JsonReader& in, std::string_view key, T& out) {
        know(in, key);
        note(in.read(key, out));
    }
    void value(const JsonReader& in, std::string_view key, std::optional<uint16_t>& out);
    void value(const JsonReader& in, std::string_view key, std::vector<uint32_t>& out);
    template <typename T>
    void required(const JsonReader& in, std::string_view key, T& out) {
        know(in, key);
        auto member = in.require(key);
        if (!member)
            errors.push_back(std::move(member).error());
        else
            note(in.read(key, out));
    }
    /// Calls `read` with member `key` if it is there and an object.
    template <typename Read>
    void object(const JsonReader& in, std::string_view key, Read read) {
        know(in, key);
        auto member = in.find(key);
        if (!member) return;
        if (auto good = member->expect_object(); !good)
            note(std::move(good));
        else
            read(*member);
    }
    /// Calls `read` with each element and a new member of `out`.
    template <typename T, typename Read>
    void list(const JsonReader& in, std::string_view key, std::vector<T>& out, Read read) {
        know(in, key);
        auto member = in.find(key);
        if (!member) return;
        auto elements = member->elements();
        if (!elements) {
            errors.push_back(std::move(elements).error());
            return;
        }
        out.reserve(elements->size());
        for (const auto& element : *elements) {
            if (auto good = element.expect_object(); !good) {
                note(std::move(good));
                continue;
            }
            read(element, out.emplace_back());
        }
    }
    /// Calls `read` with the name and value of each member of member `key`.
    template <typename Read>
    void members(const JsonReader& in, std::string_view key, Read read) {
        object(in, key, [&](const JsonReader& map) {
            for (auto it = map.json().begin(); it != map.json().end(); ++it)
                read(it.key(), JsonReader{it.value(), map.path() + "." + it.key()});
        });
    }
    /// As members(), of values that are objects.
    template <typename Read>
    void objects(const JsonReader& in, std::string_view key, Read read) {
        members(in, key, [&](const std::string& name, const JsonReader& member) {
            if (auto good = member.expect_object(); !good)
                note(std::move(good));
            else
                read(name, member);
        });
    }
    void string_map(const JsonReader& in, std::string_view key,
                    std::vector<std::pair<std::string, std::string>>& out);

    void mount(const JsonReader& in, Mount& out);
    void id_mappings(const JsonReader& in, std::string_view key, std::vector<IdMapping>& out);
    void hooks(const JsonReader& in, Hooks& out);
    void scheduling(const JsonReader& in, Process& out);
    void linux_section(const JsonReader& in, Linux& out);
    void linux_devices(const JsonReader& in, Linux& out);
    void linux_rest(const JsonReader& in, Linux& out);
    void memory(const JsonReader& in, MemoryResources& out);
    void cpu(const JsonReader& in, CpuResources& out);
    void block_io(const JsonReader& in, BlockIoResources& out);
    void other_resources(const JsonReader& in, Resources& out);
};

}  // namespace hull::spec
