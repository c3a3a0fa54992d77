// Command lines of the static binaries: the input's lines are the words.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/args.hpp"
#include "base/text.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static constexpr hull::OptionSpec kOptions[] = {{"bundle", 'b', "DIR", "the bundle"},
                                                    {"detach", 'd', "", "do not wait"},
                                                    {"env", 'e', "NAME=VALUE", "environment"},
                                                    {"all", 0, "", "all of them"}};
    std::string_view text(reinterpret_cast<const char*>(data), size);
    std::vector<std::string> words;
    for (std::string_view line : hull::split_lines(text))
        words.emplace_back(line);
    for (auto stop : {std::optional<size_t>(), std::optional<size_t>(1)})
        if (auto parsed = hull::parse_args(words, kOptions, {.stop_after_positionals = stop})) {
            (void)parsed->get("bundle");
            (void)parsed->has("detach");
            (void)parsed->all("env");
        }
    return 0;
}
