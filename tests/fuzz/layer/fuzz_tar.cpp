#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/file.hpp"
#include "layer/unpack.hpp"

// Any archive unpacks below its root or fails: the folder beside the root stays empty.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string path = "/dev/shm/hull-fuzz-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) std::abort();
    if (::mkdir((path + "/root").c_str(), 0755) != 0) std::abort();
    if (::mkdir((path + "/beside").c_str(), 0755) != 0) std::abort();
    int root = ::open((path + "/root").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    hull::layer::TextSource tar{{reinterpret_cast<const char*>(data), size}};
    hull::layer::UnpackOptions options;
    options.set_owners = false;
    options.whiteouts = (size & 1U) != 0 ? hull::layer::WhiteoutForm::overlay_user
                                         : hull::layer::WhiteoutForm::apply;
    options.max_entries = 1000;
    options.max_bytes = 1U << 20U;
    (void)hull::layer::unpack_tar(tar, root, options);
    ::close(root);
    if (hull::list_directory(path)->size() != 2 || !hull::list_directory(path + "/beside")->empty())
        std::abort();
    (void)hull::remove_tree(path);
    return 0;
}
