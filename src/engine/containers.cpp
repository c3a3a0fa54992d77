#include "engine/containers.hpp"

#include <sys/random.h>

#include <array>

#include "base/text.hpp"

namespace hull::engine {
namespace {

constexpr std::array<std::string_view, 48> kAdjectives = {
    "able",   "agile", "amber",  "brave", "brisk", "calm",  "clear",  "coral",  "deep",  "eager",
    "early",  "fair",  "fast",   "firm",  "fleet", "free",  "fresh",  "gentle", "glad",  "golden",
    "grand",  "happy", "hardy",  "keen",  "kind",  "light", "lively", "loyal",  "lucid", "merry",
    "mighty", "neat",  "nimble", "noble", "polar", "proud", "quick",  "quiet",  "ready", "sharp",
    "silver", "smart", "steady", "still", "sunny", "swift", "tidy",   "warm"};
constexpr std::array<std::string_view, 48> kNouns = {
    "anchor",   "atoll",  "barge",   "bay",     "beacon", "boom",    "bow",     "brig",
    "buoy",     "canoe",  "cape",    "clipper", "cove",   "current", "cutter",  "deck",
    "delta",    "dock",   "dolphin", "ferry",   "fjord",  "frigate", "galley",  "gull",
    "harbour",  "helm",   "island",  "jetty",   "kayak",  "keel",    "ketch",   "lagoon",
    "lighter",  "lugger", "mast",    "oar",     "otter",  "pier",    "rudder",  "sail",
    "schooner", "seal",   "sloop",   "strait",  "tide",   "trawler", "tugboat", "yawl"};
constexpr std::array<std::string_view, 4> kIntents = {"created", "started", "exited", "removing"};

/// getrandom(2) of up to 256 bytes never fails or is cut short.
template <size_t Size>
std::array<char, Size> random_bytes() {
    std::array<char, Size> bytes{};
    (void)!::getrandom(bytes.data(), bytes.size(), 0);
    return bytes;
}

}  // namespace

std::string create_container_id() {
    auto bytes = random_bytes<32>();
    return to_hex({bytes.data(), bytes.size()});
}

std::string create_container_name() {
    auto bytes = random_bytes<4>();
    auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
    return std::string(kAdjectives.at(at(0) % kAdjectives.size())) + "_" +
           std::string(kNouns.at(at(1) % kNouns.size()));
}

Result<void> check_name(const std::string& name, std::string_view what) {
    auto is_word = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    bool good = !name.empty() && name.size() <= 255 && is_word(name[0]);
    for (char c : name)
        good = good && (is_word(c) || c == '_' || c == '.' || c == '-');
    if (good) return {};
    return fail(Errc::invalid, std::string(what) + " " + quote(name) + " is not allowed",
                "use letters, digits, '_', '.' and '-', the first a letter or digit");
}

std::string_view intent_name(Intent intent) {
    return kIntents.at(static_cast<size_t>(intent));
}

Result<Intent> parse_intent(std::string_view name) {
    for (size_t i = 0; i < kIntents.size(); i++)
        if (kIntents.at(i) == name) return static_cast<Intent>(i);
    return fail(Errc::corrupt, "unknown container state " + quote(name));
}

}  // namespace hull::engine
