#pragma once

#include <string>
#include <string_view>

#include "base/result.hpp"
#include "spec/reference.hpp"
#include "store/store.hpp"

namespace hull::store {

/// Remembers what the short name `text` ("fedora:40") stood for when it was pulled, as the
/// aliases and search registries of registries.conf had it: only hull-image reads those. Nothing
/// is kept for a name with a registry, or that stands for what it always does.
Result<void> remember_short_name(const Store& store, std::string_view text,
                                 const spec::Reference& pulled);

/// What `text` stands for in this store: a remembered short name's image, else as
/// spec::parse_reference() has it.
/// @errors invalid: the grammar of names
Result<spec::Reference> resolve_name(const Store& store, std::string_view text);

/// Whether the file is sound. It is a cache: a damaged one counts as empty.
Result<bool> has_whole_short_names(const Store& store);
/// Removes a damaged file.
Result<void> mend_short_names(const Store& store);

}  // namespace hull::store
