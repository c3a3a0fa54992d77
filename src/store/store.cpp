#include "store/store.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/text.hpp"
#include "store/layer_record.hpp"

namespace hull::store {
namespace {

constexpr std::string_view kVersion = "2\n";

Result<void> create_store(const std::string& root) {
    TRY(create_directories(parent_path(root)));
    if (::mkdir(root.c_str(), 0700) < 0 && errno != EEXIST)
        return fail_errno(errno, "create the image store " + root);
    struct stat info{};
    if (::stat(root.c_str(), &info) < 0) return fail_errno(errno, "stat " + root);
    if (info.st_uid != ::geteuid())
        return fail(Errc::denied,
                    "image store " + root + " belongs to uid " + std::to_string(info.st_uid),
                    "choose a folder of your own with --root");
    // Plain ids of images lie in it: nobody else may enter.
    if ((info.st_mode & 0077U) != 0 && ::chmod(root.c_str(), 0700) < 0)
        return fail_errno(errno, "chmod " + root);
    for (const char* name :
         {"blobs", "blobs/sha256", "blobs/sha512", "layers", "layers/sha256", "layers/sha512",
          "layers/chains", "partial", "staging", "snapshots", "leases", "trash", "used"}) {
        std::string path = root + "/" + name;
        if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST)
            return fail_errno(errno, "create " + path);
    }
    if (!path_exists(root + "/references")) TRY(References{root}.mend());
    // Last, as the sign that all is there.
    return write_file_atomically(root + "/version", kVersion, {.mode = 0644, .durable = true});
}

}  // namespace

Result<Store> Store::open(const std::string& path) {
    std::string root = TRY(absolute_path(path));
    current_boot_id();  // read now: a confined process cannot later
    auto version = read_file(root + "/version", 100);
    if (!version && version.error().code == Errc::not_found) {
        TRY(create_store(root));
    } else if (!version) {
        return fail(std::move(version).error().with_context("open the image store " + root));
    } else if (*version != kVersion) {
        return fail(Errc::unsupported,
                    "image store " + root + " has version " + quote(trim(*version)) +
                        ", this hull knows " + std::string{trim(kVersion)},
                    "use the hull that made it, or another --root");
    }
    return Store{root};
}

Result<LockFile> Store::lock(LockFile::Kind kind) const {
    return LockFile::acquire(root_ + "/lock", kind);
}

Result<Lease> Store::create_lease() const {
    static std::atomic<unsigned> counter{0};
    LockFile guard = TRY(lock(LockFile::Kind::shared));  // collect must not see it unlocked
    for (;;) {
        std::string path = root_ + "/leases/" + std::to_string(::getpid()) + "-" +
                           std::to_string(counter.fetch_add(1));
        auto file = LockFile::try_acquire(path);
        if (!file && file.error().code == Errc::conflict) continue;  // a process in another pid ns
        if (!file) return fail(std::move(file).error());
        if (::ftruncate(file->fd(), 0) < 0) return fail_errno(errno, "truncate " + path);
        return Lease{root_, path, std::move(*file)};
    }
}

Lease::Lease(Lease&& other) noexcept
    : root_(std::move(other.root_)), path_(std::move(other.path_)), file_(std::move(other.file_)) {
    other.path_.clear();
}

Lease::~Lease() {
    if (!path_.empty()) ::unlink(path_.c_str());
}

Result<void> Lease::add(const spec::Digest& digest) const {
    if (digest.is_empty()) return {};
    LockFile guard = TRY(LockFile::acquire(root_ + "/lock", LockFile::Kind::shared));
    Fd file = TRY(open_path(path_, O_WRONLY | O_APPEND));
    return with_context(write_all(file.get(), digest.to_string() + "\n"), "write " + path_);
}

}  // namespace hull::store
