#include "image/transfer_options.hpp"

#include "base/text.hpp"
#include "image/command.hpp"

namespace hull::image {

std::vector<OptionSpec> transfer_options() {
    return {
        {"platform", 0, "OS/ARCH[/VARIANT]", "which image of a list (default: this machine's)"},
        {"all", 'a', "", "the images of all platforms"},
        {"jobs", 'j', "N", "layers at a time (default 3)"},
        {"quiet", 'q', "", "show no progress"},
    };
}

Result<registry::TransferOptions> parse_transfer_options(const ParsedArgs& args) {
    registry::TransferOptions out;
    out.platform = TRY(parse_platform_option(args));
    out.all_platforms = args.has("all") || args.has("all-platforms");
    out.cancelled = &Context::cancelled();
    if (auto text = args.find("jobs")) {
        auto number = parse_number<unsigned>(*text);
        if (!number || *number < 1 || *number > 16)
            return fail(Errc::invalid, "--jobs " + quote(*text) + ": must be 1 to 16");
        out.parallel = *number;
    }
    return out;
}

}  // namespace hull::image
