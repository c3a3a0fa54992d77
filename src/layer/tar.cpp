#include "layer/tar.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <locale.h>

#include <algorithm>
#include <cerrno>

#include "layer/acl.hpp"

namespace hull::layer {
namespace {

/// libarchive turns names into the locale's character set and even recomposes accents (NFC) in a
/// UTF-8 one. In the C locale it cannot, and hands over the bytes as they are, which is what a file
/// name is.
class CLocale {
  public:
    CLocale() : before_(::uselocale(c_locale())) {}
    CLocale(const CLocale&) = delete;
    CLocale& operator=(const CLocale&) = delete;
    ~CLocale() { ::uselocale(before_); }

  private:
    static locale_t c_locale() {
        static locale_t locale = ::newlocale(LC_ALL_MASK, "C", nullptr);
        return locale;
    }
    locale_t before_;
};

class LibarchiveReader final : public TarReader {
  public:
    explicit LibarchiveReader(ByteSource& source)
        : source_(&source), archive_(archive_read_new(), archive_read_free) {}

    Result<const TarEntry*> next() override {
        CLocale locale;
        if (!is_open_) TRY(open());
        archive_entry* entry = nullptr;
        int result = archive_read_next_header(archive_.get(), &entry);
        if (result == ARCHIVE_EOF) return nullptr;
        // A warning is about a character set; the names are whole all the same.
        if (result != ARCHIVE_OK && result != ARCHIVE_WARN) return refuse();
        if (archive_entry_pathname(entry) == nullptr)
            return fail(Errc::corrupt, "tar: a member has no name");
        take(entry);
        return &entry_;
    }

    Result<TarData> read_data() override {
        const void* bytes = nullptr;
        size_t size = 0;
        la_int64_t offset = 0;
        int result = archive_read_data_block(archive_.get(), &bytes, &size, &offset);
        if (result == ARCHIVE_EOF) return TarData{};
        if (result != ARCHIVE_OK) return refuse();
        return TarData{{static_cast<const char*>(bytes), size}, static_cast<uint64_t>(offset)};
    }

    Result<void> drain() override {
        for (;;)
            if (TRY(source_->read()).empty()) return {};
    }

  private:
    Result<void> open() {
        is_open_ = true;
        archive_read_support_format_tar(archive_.get());
        archive_read_support_format_empty(archive_.get());
        if (archive_read_open(archive_.get(), this, nullptr, read_callback, nullptr) != ARCHIVE_OK)
            return refuse();
        return {};
    }

    static la_ssize_t read_callback(archive* archive, void* self, const void** buffer) {
        auto* reader = static_cast<LibarchiveReader*>(self);
        auto bytes = reader->source_->read();
        if (!bytes) {
            reader->source_error_ = std::move(bytes).error();
            archive_set_error(archive, EIO, "source");
            return -1;
        }
        *buffer = bytes->data();
        return static_cast<la_ssize_t>(bytes->size());
    }

    tl::unexpected<Error> refuse() {
        if (source_error_) return fail(*source_error_);
        const char* reason = archive_error_string(archive_.get());
        return fail(Errc::corrupt,
                    "tar: " + std::string{reason != nullptr ? reason : "cannot be read"},
                    "it is no tar archive, or was damaged or cut short on its way");
    }

    void take(archive_entry* entry) {
        entry_.name = archive_entry_pathname(entry);
        entry_.link.clear();
        entry_.xattrs.clear();
        entry_.type = type_of(entry);
        if (entry_.type == TarType::hard_link)
            entry_.link = archive_entry_hardlink(entry);
        else if (const char* target = archive_entry_symlink(entry); target != nullptr)
            entry_.link = target;
        entry_.size = static_cast<uint64_t>(std::max<la_int64_t>(archive_entry_size(entry), 0));
        entry_.mode = archive_entry_perm(entry);
        entry_.uid = static_cast<uid_t>(archive_entry_uid(entry));
        entry_.gid = static_cast<gid_t>(archive_entry_gid(entry));
        entry_.mtime = {archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
        entry_.device_major = static_cast<unsigned>(archive_entry_rdevmajor(entry));
        entry_.device_minor = static_cast<unsigned>(archive_entry_rdevminor(entry));
        entry_.sparse = archive_entry_sparse_count(entry) > 0;
        take_attributes(entry);
    }

    void take_attributes(archive_entry* entry) {
        if (archive_entry_xattr_reset(entry) > 0) {
            const char* name = nullptr;
            const void* value = nullptr;
            size_t size = 0;
            while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK)
                entry_.xattrs.emplace_back(name,
                                           std::string{static_cast<const char*>(value), size});
        }
        take_acls(entry, entry_.xattrs);
    }

    static TarType type_of(archive_entry* entry) {
        if (archive_entry_hardlink(entry) != nullptr) return TarType::hard_link;
        switch (archive_entry_filetype(entry)) {
            case AE_IFDIR:
                return TarType::directory;
            case AE_IFLNK:
                return TarType::symlink;
            case AE_IFCHR:
                return TarType::character_device;
            case AE_IFBLK:
                return TarType::block_device;
            case AE_IFIFO:
                return TarType::fifo;
            default:
                return TarType::file;
        }
    }

    ByteSource* source_;
    std::unique_ptr<archive, decltype(&archive_read_free)> archive_;
    bool is_open_ = false;
    TarEntry entry_;
    std::optional<Error> source_error_;
};

}  // namespace

std::unique_ptr<TarReader> create_tar_reader(ByteSource& source) {
    return std::make_unique<LibarchiveReader>(source);
}

}  // namespace hull::layer
