// What one thread takes to turn a layer into files: igzip or libzstd, sha256 of the compressed and
// of the plain bytes, libarchive, and the system calls that a file needs. No verification, no
// safety, nothing stored but the files.
//
// usage: unpack_floor FOLDER <LAYER      prints both digests
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>

namespace {

constexpr size_t kBuffer = 256U << 10U;

[[noreturn]] void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

class Sha256 {
  public:
    Sha256() : context_(EVP_MD_CTX_new()) { EVP_DigestInit_ex(context_, EVP_sha256(), nullptr); }
    void update(const void* bytes, size_t size) { EVP_DigestUpdate(context_, bytes, size); }
    void print() {
        std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
        unsigned size = 0;
        EVP_DigestFinal_ex(context_, raw.data(), &size);
        for (unsigned i = 0; i < size; ++i)
            std::printf("%02x", raw[i]);
        std::printf("\n");
    }

  private:
    EVP_MD_CTX* context_;
};

/// The plain bytes of stdin, with both digests taken on the way.
class Plain {
  public:
    Plain() {
        fill();
        is_zstd_ = size_ >= 4 && std::memcmp(in_.data(), "\x28\xb5\x2f\xfd", 4) == 0;
        isal_inflate_init(&inflate_);
        inflate_.crc_flag = ISAL_GZIP;
    }
    /// 0: the end.
    size_t read() {
        for (;;) {
            bool is_end = offset_ == size_ && !fill();
            size_t made = is_zstd_ ? read_zstd() : read_gzip();
            plain_.update(out_.data(), made);
            if (made > 0 || is_end) return made;
        }
    }
    const char* bytes() const { return out_.data(); }
    void print() {
        while (fill())
            continue;
        compressed_.print();
        plain_.print();
    }

  private:
    bool fill() {
        ssize_t got = ::read(0, in_.data(), in_.size());
        if (got < 0) die("read");
        size_ = static_cast<size_t>(got);
        offset_ = 0;
        compressed_.update(in_.data(), size_);
        return got > 0;
    }
    size_t read_gzip() {
        if (inflate_.block_state == ISAL_BLOCK_FINISH) {  // the next member
            isal_inflate_reset(&inflate_);
            inflate_.crc_flag = ISAL_GZIP;
        }
        inflate_.next_in = reinterpret_cast<uint8_t*>(in_.data() + offset_);
        inflate_.avail_in = static_cast<uint32_t>(size_ - offset_);
        inflate_.next_out = reinterpret_cast<uint8_t*>(out_.data());
        inflate_.avail_out = static_cast<uint32_t>(out_.size());
        if (isal_inflate(&inflate_) < 0) die("inflate");
        offset_ = size_ - inflate_.avail_in;
        return out_.size() - inflate_.avail_out;
    }
    size_t read_zstd() {
        ZSTD_inBuffer in{in_.data() + offset_, size_ - offset_, 0};
        ZSTD_outBuffer out{out_.data(), out_.size(), 0};
        if (ZSTD_isError(ZSTD_decompressStream(zstd_, &out, &in)) != 0) die("zstd");
        offset_ += in.pos;
        return out.pos;
    }

    std::vector<char> in_ = std::vector<char>(kBuffer);
    std::vector<char> out_ = std::vector<char>(kBuffer);
    size_t size_ = 0;
    size_t offset_ = 0;
    bool is_zstd_ = false;
    inflate_state inflate_{};
    ZSTD_DCtx* zstd_ = ZSTD_createDCtx();
    Sha256 compressed_;
    Sha256 plain_;
};

la_ssize_t read_callback(archive* /*archive*/, void* self, const void** buffer) {
    auto* plain = static_cast<Plain*>(self);
    size_t size = plain->read();
    *buffer = plain->bytes();
    return static_cast<la_ssize_t>(size);
}

void write_file(archive* from, archive_entry* entry, const char* name) {
    int file = ::open(name, O_WRONLY | O_CREAT | O_TRUNC, archive_entry_perm(entry));
    if (file < 0) die(name);
    const void* bytes = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    while (archive_read_data_block(from, &bytes, &size, &offset) == ARCHIVE_OK)
        if (::pwrite(file, bytes, size, offset) != static_cast<ssize_t>(size)) die("write");
    timespec time{archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
    std::array<timespec, 2> times{time, time};
    if (::fchown(file, static_cast<uid_t>(archive_entry_uid(entry)),
                 static_cast<gid_t>(archive_entry_gid(entry))) < 0)
        die("fchown");
    ::futimens(file, times.data());
    ::close(file);
}

void unpack(archive* from) {
    archive_entry* entry = nullptr;
    while (archive_read_next_header(from, &entry) == ARCHIVE_OK) {
        std::string name = archive_entry_pathname(entry);
        while (name.starts_with('/'))
            name.erase(0, 1);
        if (const char* target = archive_entry_hardlink(entry); target != nullptr) {
            if (::link(target, name.c_str()) < 0) die(name.c_str());
        } else if (archive_entry_filetype(entry) == AE_IFDIR) {
            if (::mkdir(name.c_str(), 0755) < 0 && errno != EEXIST) die(name.c_str());
        } else if (archive_entry_filetype(entry) == AE_IFLNK) {
            if (::symlink(archive_entry_symlink(entry), name.c_str()) < 0) die(name.c_str());
        } else if (archive_entry_filetype(entry) == AE_IFREG) {
            write_file(from, entry, name.c_str());
        }
    }
}

}  // namespace

int main(int count, char** words) {
    if (count != 2) {
        std::fprintf(stderr, "usage: unpack_floor FOLDER <LAYER\n");
        return 2;
    }
    if (::chdir(words[1]) < 0) die(words[1]);
    Plain plain;
    archive* from = archive_read_new();
    archive_read_support_format_tar(from);
    if (archive_read_open(from, &plain, nullptr, read_callback, nullptr) != ARCHIVE_OK) die("tar");
    unpack(from);
    archive_read_free(from);
    plain.print();
    return 0;
}
