#include "layer/difference.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <string>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "layer/tree_entry.hpp"

namespace hull::layer {
namespace {

constexpr int kMaxDepth = 2000;

std::string below(const std::string& folder, const std::string& name) {
    return folder.empty() ? name : folder + "/" + name;
}

Result<Fd> open_folder(int parent, const std::string& name) {
    return open_at(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Result<void> check_depth(int depth, const std::string& path) {
    if (depth > kMaxDepth)
        return fail(Errc::unsupported, "folders are nested deeper than 2000 at " + quote(path));
    return {};
}

/// Everything in a folder, with overlayfs' marks turned into whiteouts.
Result<void> add_tree(int folder, const std::string& path, TreeWriter& out, int depth) {
    TRY(check_depth(depth, path));
    for (const std::string& name : TRY(sorted_names(folder))) {
        TreeEntry entry = TRY(describe_entry(folder, name, below(path, name)));
        if (entry.is_whiteout) {
            TRY(out.add_marker(below(path, ".wh." + name)));
            continue;
        }
        bool is_folder = entry.tar.type == TarType::directory;
        bool is_opaque = entry.is_opaque;
        TRY(out.add(folder, name, std::move(entry)));
        if (!is_folder) continue;
        if (is_opaque) TRY(out.add_marker(below(path, name) + "/.wh..wh..opq"));
        Fd inner = TRY(open_folder(folder, name));
        TRY(add_tree(inner.get(), below(path, name), out, depth + 1));
    }
    return {};
}

Result<bool> has_equal_content(int a, int b, const std::string& name) {
    Fd first = TRY(open_at(a, name, O_RDONLY | O_NOFOLLOW));
    Fd second = TRY(open_at(b, name, O_RDONLY | O_NOFOLLOW));
    std::string left(1U << 18U, '\0');
    std::string right(left.size(), '\0');
    for (off_t position = 0;;) {
        ssize_t got = ::pread(first.get(), left.data(), left.size(), position);
        ssize_t other = ::pread(second.get(), right.data(), right.size(), position);
        if (got < 0 || other < 0) return fail_errno(errno, "read " + quote(name));
        if (got != other || !std::equal(left.begin(), left.begin() + got, right.begin()))
            return false;
        if (got == 0) return true;
        position += got;
    }
}

/// Walks two trees side by side.
class Comparer {
  public:
    Comparer(bool compare_content, ByteSink& tar) : compare_content_(compare_content), out_(tar) {}

    Result<DifferenceReport> run(const CompareRequest& request) {
        TRY(compare_roots(request));
        TRY(compare(request.before, request.after, "", 0));
        TRY(out_.finish());
        return DifferenceReport{out_.entries(), out_.bytes()};
    }

  private:
    Result<void> compare_roots(const CompareRequest& request) {
        TreeEntry old = TRY(describe_entry(request.before, ".", "."));
        TreeEntry entry = TRY(describe_entry(request.after, ".", "."));
        if (!TRY(is_unchanged(request.before, request.after, ".", old, entry)))
            TRY(out_.add(request.after, ".", std::move(entry)));
        return {};
    }

    Result<void> compare(int before, int after, const std::string& path, int depth) {
        TRY(check_depth(depth, path));
        std::vector<std::string> old_names = TRY(sorted_names(before));
        std::vector<std::string> new_names = TRY(sorted_names(after));
        std::vector<std::string> gone;
        std::set_difference(old_names.begin(), old_names.end(), new_names.begin(), new_names.end(),
                            std::back_inserter(gone));
        for (const std::string& name : gone)
            TRY(out_.add_marker(below(path, ".wh." + name)));
        for (const std::string& name : new_names) {
            TreeEntry entry = TRY(describe_entry(after, name, below(path, name)));
            bool is_new = !std::binary_search(old_names.begin(), old_names.end(), name);
            if (is_new)
                TRY(add_whole(after, name, std::move(entry), path, depth));
            else
                TRY(compare_entry(before, after, name, std::move(entry), path, depth));
        }
        return {};
    }

    Result<void> add_whole(int folder, const std::string& name, TreeEntry entry,
                           const std::string& path, int depth) {
        bool is_folder = entry.tar.type == TarType::directory;
        TRY(out_.add(folder, name, std::move(entry)));
        if (!is_folder) return {};
        Fd inner = TRY(open_folder(folder, name));
        return add_tree(inner.get(), below(path, name), out_, depth + 1);
    }

    // The fifth and sixth are the walk's own position.
    Result<void> compare_entry(int before, int after, const std::string& name, TreeEntry entry,
                               const std::string& path, int depth) {
        TreeEntry old = TRY(describe_entry(before, name, below(path, name)));
        if (old.tar.type != entry.tar.type)
            return add_whole(after, name, std::move(entry), path, depth);
        bool is_equal = TRY(is_unchanged(before, after, name, old, entry));
        bool is_folder = entry.tar.type == TarType::directory;
        if (!is_equal) TRY(out_.add(after, name, std::move(entry)));
        if (!is_folder) return {};
        Fd old_inner = TRY(open_folder(before, name));
        Fd new_inner = TRY(open_folder(after, name));
        return compare(old_inner.get(), new_inner.get(), below(path, name), depth + 1);
    }

    Result<bool> is_unchanged(int before, int after, const std::string& name, const TreeEntry& old,
                              const TreeEntry& entry) const {
        // A whiteout says one thing only: no archive gives it a time or an owner.
        if (old.is_whiteout && entry.is_whiteout) return true;
        const TarEntry& a = old.tar;
        const TarEntry& b = entry.tar;
        bool has_time = a.mtime.tv_sec == b.mtime.tv_sec && a.mtime.tv_nsec == b.mtime.tv_nsec;
        if (a.mode != b.mode || a.uid != b.uid || a.gid != b.gid || a.size != b.size ||
            a.link != b.link || a.xattrs != b.xattrs || !has_time ||
            a.device_major != b.device_major || a.device_minor != b.device_minor ||
            old.is_opaque != entry.is_opaque || old.is_whiteout != entry.is_whiteout)
            return false;
        if (a.type != TarType::file || !compare_content_) return true;
        return has_equal_content(before, after, name);
    }

    bool compare_content_;
    TreeWriter out_;
};

}  // namespace

Result<DifferenceReport> write_difference(int upper, ByteSink& tar) {
    TreeWriter out{tar};
    TRY(add_tree(upper, "", out, 0));
    TRY(out.finish());
    return DifferenceReport{out.entries(), out.bytes()};
}

Result<DifferenceReport> write_changes(const CompareRequest& request, ByteSink& tar) {
    return Comparer{request.compare_content, tar}.run(request);
}

}  // namespace hull::layer
