// continue_from_file(): a program exchanges the file that it runs from.

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/file.hpp"
#include "base/text.hpp"
#include "kernel/executable.hpp"
#include "kernel/kernel_file.hpp"

/// The program's own first byte in memory; made by the linker.
extern "C" __attribute__((visibility("hidden"))) const ElfW(Ehdr) __ehdr_start;
/// The part of the text that is seldom run, where the program is linked with one
/// (src/bin/hull_runtime.ld). The kernel maps the file in large pieces around each fault.
extern "C" __attribute__((weak, visibility("hidden"))) const char hull_seldom_start[];
extern "C" __attribute__((weak, visibility("hidden"))) const char hull_seldom_end[];

namespace hull::kernel {

namespace {

constexpr uintptr_t kPage = 4096;

struct Range {
    uintptr_t start = 0;
    uintptr_t end = 0;
    size_t size() const { return end - start; }
    void* address() const { return reinterpret_cast<void*>(start); }
};

std::span<const ElfW(Phdr)> program_headers() {
    const auto* first = reinterpret_cast<const char*>(&__ehdr_start);
    return {reinterpret_cast<const ElfW(Phdr)*>(first + __ehdr_start.e_phoff),
            __ehdr_start.e_phnum};
}

/// What has to be added to the addresses in the file.
uintptr_t load_bias() {
    for (const auto& header : program_headers())
        if (header.p_type == PT_LOAD && header.p_offset == 0)
            return reinterpret_cast<uintptr_t>(&__ehdr_start) - header.p_vaddr;
    return reinterpret_cast<uintptr_t>(&__ehdr_start);
}

/// The pages of a segment that come from the file.
Range file_pages(const ElfW(Phdr) & header) {
    const uintptr_t start = load_bias() + header.p_vaddr;
    return {.start = start & ~(kPage - 1),
            .end = (start + header.p_filesz + kPage - 1) & ~(kPage - 1)};
}

Result<void> map_from(int file, const ElfW(Phdr) & header) {
    const auto pages = file_pages(header);
    const int protection = PROT_READ | ((header.p_flags & PF_X) != 0 ? PROT_EXEC : 0);
    const auto offset = static_cast<off_t>(header.p_offset & ~(kPage - 1));
    // The same bytes at the same place, of which some are running.
    if (::mmap(pages.address(), pages.size(), protection, MAP_PRIVATE | MAP_FIXED, file, offset) ==
        MAP_FAILED)
        return fail_errno(errno, "map our own program");
    return {};
}

/// The present content, in memory that belongs to no file. Nothing may write in between: there is
/// one thread, errno is not among these pages, and the calls between are no others than these.
Result<void> detach_from_file(Range pages) {
    void* copy = ::mmap(nullptr, pages.size(), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (copy == MAP_FAILED) return fail_errno(errno, "copy our own data");
    std::memcpy(copy, pages.address(), pages.size());
    if (::mremap(copy, pages.size(), pages.size(), MREMAP_MAYMOVE | MREMAP_FIXED,
                 pages.address()) == MAP_FAILED)
        return fail_errno(errno, "move our own data");
    return {};
}

/// What the loader made read-only after relocation (PT_GNU_RELRO) becomes so again.
Result<void> protect_relocated() {
    for (const auto& header : program_headers()) {
        if (header.p_type != PT_GNU_RELRO) continue;
        const uintptr_t start = load_bias() + header.p_vaddr;
        const Range pages{.start = start & ~(kPage - 1),
                          .end = (start + header.p_memsz) & ~(kPage - 1)};
        if (::mprotect(pages.address(), pages.size(), PROT_READ) < 0)
            return fail_errno(errno, "protect our own data");
    }
    return {};
}

/// What is seldom run becomes a mapping of its own by a flag that it alone has: pages of it come
/// into memory only when it is itself in use.
void set_seldom_apart() {
    const Range pages{.start = reinterpret_cast<uintptr_t>(hull_seldom_start),
                      .end = reinterpret_cast<uintptr_t>(hull_seldom_end)};
    if (pages.size() != 0) (void)::madvise(pages.address(), pages.size(), MADV_RANDOM);
}

Result<void> map_program_from(int file) {
    for (const auto& header : program_headers()) {
        if (header.p_type != PT_LOAD || header.p_filesz == 0) continue;
        if ((header.p_flags & PF_W) == 0)
            TRY(map_from(file, header));
        else
            TRY(detach_from_file(file_pages(header)));
    }
    set_seldom_apart();
    return protect_relocated();
}

/// The addresses that prctl(2) takes together with the file, as they are: proc_pid_stat(5).
Result<prctl_mm_map> read_memory_map() {
    const std::string text = TRY(read_kernel_file("/proc/self/stat"));
    const size_t name_end = text.rfind(") ");
    if (name_end == std::string::npos) return fail(Errc::internal, "read our own memory map");
    const auto fields = split(trim(std::string_view(text).substr(name_end + 2)), ' ');
    bool is_good = true;
    const auto field = [&](size_t number) -> uint64_t {
        constexpr size_t kFirst = 3;  // `fields` begins with the third
        const auto value = number - kFirst < fields.size()
                               ? parse_number<uint64_t>(fields[number - kFirst])
                               : std::nullopt;
        is_good = is_good && value;
        return value.value_or(0);
    };
    prctl_mm_map map{.start_code = field(26),
                     .end_code = field(27),
                     .start_data = field(45),
                     .end_data = field(46),
                     .start_brk = field(47),
                     .brk = reinterpret_cast<uint64_t>(::sbrk(0)),
                     .start_stack = field(28),
                     .arg_start = field(48),
                     .arg_end = field(49),
                     .env_start = field(50),
                     .env_end = field(51),
                     .auxv = nullptr,
                     .auxv_size = 0,
                     .exe_fd = 0};
    if (!is_good) return fail(Errc::internal, "read our own memory map");
    return map;
}

Result<void> set_own_file(int file) {
    const auto number = static_cast<unsigned long>(file);
    if (::prctl(PR_SET_MM, PR_SET_MM_EXE_FILE, number, 0UL, 0UL) == 0) return {};
    if (errno != EPERM) return fail_errno(errno, "exchange our own program's file");
    // Without CAP_SYS_RESOURCE on the host; in a user namespace with CAP_CHECKPOINT_RESTORE there.
    prctl_mm_map map = TRY(read_memory_map());
    map.exe_fd = static_cast<uint32_t>(file);
    if (::prctl(PR_SET_MM, PR_SET_MM_MAP, &map, sizeof map, 0UL) < 0)
        return fail_errno(errno, "exchange our own program's file");
    return {};
}

}  // namespace

Result<void> continue_from_file(int mount) {
    if (::sysconf(_SC_PAGESIZE) != static_cast<long>(kPage))
        return fail(Errc::unsupported, "pages of other sizes than 4096 bytes");
    // The kernel takes no O_PATH descriptor for it.
    const Fd file = TRY(open_path("/proc/self/fd/" + std::to_string(mount), O_RDONLY));
    TRY(map_program_from(file.get()));
    return set_own_file(file.get());
}

}  // namespace hull::kernel
