#include "kernel/seccomp_cache.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include <fmt/format.h>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/own_directory.hpp"

namespace hull::kernel {
namespace {

// Changes when the same filter is compiled to another program.
constexpr std::string_view kFormat = "hull-seccomp 2 " HULL_VERSION "\n";
constexpr size_t kLargestEntry = 4U << 20U;

uint64_t fnv1a(std::string_view bytes, uint64_t hash = 0xcbf29ce484222325ULL) {
    for (char c : bytes) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3ULL;
    }
    return hash;
}

template <typename T>
void put(std::string& out, const T& value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
bool take(std::string_view& in, T& value) {
    if (in.size() < sizeof value) return false;
    std::memcpy(&value, in.data(), sizeof value);
    in.remove_prefix(sizeof value);
    return true;
}

std::optional<SeccompProgram> load_entry(const std::string& path, std::string_view source) {
    Fd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return std::nullopt;
    struct stat status{};
    if (fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        (status.st_mode & (S_IWGRP | S_IWOTH)) != 0 || status.st_size <= 0 ||
        static_cast<size_t>(status.st_size) > kLargestEntry)
        return std::nullopt;
    std::string entry(static_cast<size_t>(status.st_size), '\0');
    if (::read(file.get(), entry.data(), entry.size()) != static_cast<ssize_t>(entry.size()))
        return std::nullopt;
    return decode_seccomp_entry(entry, source);
}

}  // namespace

std::string seccomp_source(const SeccompFilter& filter) {
    std::string text;
    text.reserve(16384);
    auto number = [&](const std::optional<uint32_t>& value) {
        text += value ? fmt::format(" {}", *value) : " -";
    };
    text += fmt::format("default {}", static_cast<int>(filter.default_action));
    number(filter.default_errno);
    text += fmt::format("\nflags {} {} {} {}\narchitectures", filter.log, filter.allow_speculation,
                        filter.synchronize_threads, filter.wait_killable);
    // A name cannot end a field: its length stands before it.
    auto name = [&](const std::string& value) {
        text += ' ';
        text += std::to_string(value.size());
        text += ':';
        text += value;
    };
    for (const auto& architecture : filter.architectures)
        name(architecture);
    for (const auto& rule : filter.rules) {
        text += fmt::format("\nrule {}", static_cast<int>(rule.action));
        number(rule.errno_value);
        for (const auto& argument : rule.arguments)
            text += fmt::format(" [{} {} {} {}]", argument.index, static_cast<int>(argument.op),
                                argument.value, argument.value_two);
        for (const auto& call : rule.names)
            name(call);
    }
    return text;
}

std::string encode_seccomp_entry(std::string_view source, const SeccompProgram& program) {
    std::string body;
    put(body, static_cast<uint64_t>(source.size()));
    body += source;
    put(body, program.flags);
    put(body, static_cast<uint32_t>(program.instructions.size()));
    body.append(reinterpret_cast<const char*>(program.instructions.data()),
                program.instructions.size() * sizeof(sock_filter));
    std::string entry(kFormat);
    put(entry, fnv1a(body));
    return entry + body;
}

std::optional<SeccompProgram> decode_seccomp_entry(std::string_view entry,
                                                   std::string_view source) {
    if (!entry.starts_with(kFormat)) return std::nullopt;
    entry.remove_prefix(kFormat.size());
    uint64_t sum = 0;
    if (!take(entry, sum) || sum != fnv1a(entry)) return std::nullopt;
    uint64_t size = 0;
    if (!take(entry, size) || size != source.size() || !entry.starts_with(source))
        return std::nullopt;
    entry.remove_prefix(source.size());
    SeccompProgram program;
    uint32_t count = 0;
    if (!take(entry, program.flags) || !take(entry, count)) return std::nullopt;
    if (count == 0 || count > BPF_MAXINSNS || entry.size() != count * sizeof(sock_filter))
        return std::nullopt;
    program.instructions.resize(count);
    std::memcpy(program.instructions.data(), entry.data(), entry.size());
    return program;
}

std::string SeccompCache::entry_path(std::string_view source) const {
    return join_path(directory_, fmt::format("{:016x}.seccomp", fnv1a(source)));
}

std::optional<SeccompProgram> SeccompCache::find(std::string_view source) const {
    if (!check_own_directory(directory_)) return std::nullopt;
    return load_entry(entry_path(source), source);
}

void SeccompCache::keep(std::string_view source, const SeccompProgram& program) const {
    auto keep_in = [&]() -> Result<void> {
        TRY(create_directories(directory_, 0700));
        TRY(check_own_directory(directory_));
        return write_file_atomically(entry_path(source), encode_seccomp_entry(source, program),
                                     {.mode = 0600});
    };
    auto kept = keep_in();
    if (!kept) log::debug("seccomp cache: " + kept.error().to_string());
}

Result<SeccompProgram> load_or_compile_seccomp(const SeccompFilter& filter,
                                               const std::string& cache_directory) {
    const std::string source = seccomp_source(filter);
    const SeccompCache cache{cache_directory};
    if (auto program = cache.find(source)) return std::move(*program);
    auto program = TRY(compile_seccomp(filter));
    cache.keep(source, program);
    return program;
}

}  // namespace hull::kernel
