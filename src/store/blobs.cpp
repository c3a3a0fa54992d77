#include "store/blobs.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/text.hpp"

namespace hull::store {
namespace {

std::string blob_path(const std::string& root, const spec::Digest& digest) {
    return root + "/blobs/" + std::string{spec::algorithm_name(digest.algorithm())} + "/" +
           digest.hex();
}

/// Whether `fd` is still the file that `path` names.
bool is_same_file(int fd, const std::string& path) {
    struct stat open_file{};
    struct stat named{};
    return ::fstat(fd, &open_file) == 0 && ::stat(path.c_str(), &named) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

Error with_disk_hint(Error error) {
    if (error.sys_errno == ENOSPC || error.sys_errno == EDQUOT)
        return std::move(error).with_hint(
            "free space on the store's file system, or remove images with hull image prune");
    return error;
}

}  // namespace

Result<void> BlobWriter::write(std::string_view bytes) {
    auto written = write_all(lock_.fd(), bytes);
    if (!written)
        return fail(with_disk_hint(std::move(written).error().with_context("write " + partial_)));
    size_ += bytes.size();
    return {};
}

Result<void> BlobWriter::restart() {
    if (::ftruncate(lock_.fd(), 0) < 0 || ::lseek(lock_.fd(), 0, SEEK_SET) < 0)
        return fail_errno(errno, "truncate " + partial_);
    size_ = 0;
    return {};
}

Result<void> BlobWriter::commit(const spec::Digest& actual) {
    if (actual != expected_) {
        discard();
        return fail(
            Errc::corrupt,
            "content has digest " + actual.to_string() + ", expected " + expected_.to_string(),
            "it was damaged on the way, or the source is wrong; try again");
    }
    return commit_as(actual);
}

Result<void> BlobWriter::commit_as(const spec::Digest& actual) {
    std::string target = blob_path(root_, actual);
    if (::fchmod(lock_.fd(), 0644) < 0) return fail_errno(errno, "chmod " + partial_);
    // A name promises the bytes, also after a loss of power: without this, a file system that
    // writes data late may keep the name alone. What is unpacked from it can be made again.
    if (::fdatasync(lock_.fd()) < 0)
        return fail(with_disk_hint(errno_error(errno, "write " + partial_ + " to the disk")));
    if (::rename(partial_.c_str(), target.c_str()) < 0)
        return fail_errno(errno, "rename " + partial_ + " to " + target);
    return {};
}

void BlobWriter::discard() {
    ::unlink(partial_.c_str());
}

std::string Blobs::path(const spec::Digest& digest) const {
    return blob_path(root_, digest);
}

bool Blobs::has(const spec::Digest& digest) const {
    return !digest.is_empty() && ::access(path(digest).c_str(), F_OK) == 0;
}

bool Blobs::has(const spec::Digest& digest, uint64_t expected) const {
    auto actual = size(digest);
    return actual && *actual == expected;
}

Result<uint64_t> Blobs::size(const spec::Digest& digest) const {
    struct stat info{};
    if (digest.is_empty() || ::stat(path(digest).c_str(), &info) < 0)
        return fail_errno(digest.is_empty() ? ENOENT : errno, "blob " + digest.to_string());
    return static_cast<uint64_t>(info.st_size);
}

Result<Fd> Blobs::open(const spec::Digest& digest) const {
    auto file = open_path(path(digest), O_RDONLY);
    if (!file && file.error().code == Errc::not_found)
        return fail(Errc::not_found, "blob " + digest.to_string() + " is not in the store",
                    "pull the image again");
    return file;
}

Result<std::string> Blobs::read(const spec::Digest& digest, size_t limit) const {
    Fd file = TRY(open(digest));
    return with_context(read_all(file.get(), limit), "read blob " + digest.to_string());
}

Result<std::optional<BlobWriter>> Blobs::create(const spec::Digest& expected, uint64_t size) const {
    std::string partial = root_ + "/partial/" +
                          std::string{spec::algorithm_name(expected.algorithm())} + "-" +
                          expected.hex();
    auto is_there = [&] { return size != 0 ? has(expected, size) : has(expected); };
    for (;;) {
        if (is_there()) return std::optional<BlobWriter>{};
        LockFile lock = TRY(LockFile::acquire(partial));
        // Whoever held the lock may have renamed or removed the file: then ours has no name.
        if (!is_same_file(lock.fd(), partial)) continue;
        if (is_there()) {
            ::unlink(partial.c_str());
            return std::optional<BlobWriter>{};
        }
        off_t end = ::lseek(lock.fd(), 0, SEEK_END);
        if (end < 0) return fail_errno(errno, "seek in " + partial);
        BlobWriter writer{std::move(lock), root_, partial, expected};
        writer.size_ = static_cast<uint64_t>(end);
        if (size != 0 && writer.size_ > size) TRY(writer.restart());
        return std::optional<BlobWriter>{std::move(writer)};
    }
}

Result<BlobWriter> Blobs::create_unnamed() const {
    static std::atomic<unsigned> counter{0};
    for (;;) {
        std::string partial = root_ + "/partial/new-" + std::to_string(::getpid()) + "-" +
                              std::to_string(counter.fetch_add(1));
        LockFile lock = TRY(LockFile::acquire(partial));
        if (!is_same_file(lock.fd(), partial)) continue;
        BlobWriter writer{std::move(lock), root_, partial, {}};
        TRY(writer.restart());  // a killed process of the same number may have left one
        return writer;
    }
}

Result<void> Blobs::put(const spec::Digest& digest, std::string_view content) const {
    if (has(digest, content.size())) return {};
    auto written = write_file_atomically(path(digest), content, {.durable = true});
    if (!written) return fail(with_disk_hint(std::move(written).error()));
    return {};
}

Result<std::vector<BlobInfo>> Blobs::list() const {
    std::vector<BlobInfo> blobs;
    for (auto algorithm : {spec::DigestAlgorithm::sha256, spec::DigestAlgorithm::sha512}) {
        std::string name{spec::algorithm_name(algorithm)};
        std::string folder = root_ + "/blobs/" + name;
        for (const std::string& file : TRY(list_directory(folder))) {
            auto digest = spec::Digest::parse(name + ":" + file);
            struct stat info{};
            if (!digest || ::stat((folder + "/" + file).c_str(), &info) < 0) continue;
            blobs.push_back({std::move(*digest), static_cast<uint64_t>(info.st_size)});
        }
    }
    return blobs;
}

Result<void> Blobs::remove(const spec::Digest& digest) const {
    if (::unlink(path(digest).c_str()) < 0 && errno != ENOENT)
        return fail_errno(errno, "remove blob " + digest.to_string());
    return {};
}

}  // namespace hull::store
