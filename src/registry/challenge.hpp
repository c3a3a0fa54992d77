#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"

namespace hull::registry {

/// One way of proving who one is that a server offers.
struct Challenge {
    std::string scheme;                                           ///< lower case: "basic", "bearer"
    std::vector<std::pair<std::string, std::string>> parameters;  ///< names in lower case
    std::string token68;  ///< the other form of a challenge; usually empty

    std::optional<std::string> find(std::string_view name) const;
};

/// Parses a WWW-Authenticate header's value: one or more challenges, separated by commas, as are
/// their parameters.
/// @errors invalid: not of that grammar; a parameter given twice
/// @see RFC 9110, 11.2, 11.3 and 11.6.1
Result<std::vector<Challenge>> parse_challenges(std::string_view header);

}  // namespace hull::registry
