#pragma once

#include <chrono>
#include <ctime>
#include <utility>

namespace hull::layer {

/// CPU time of a transfer by what it was spent on, over all threads.
struct PhaseTimes {
    std::chrono::nanoseconds fetch{};         ///< reading from the network or a file
    std::chrono::nanoseconds hash_blob{};     ///< digest of the compressed bytes
    std::chrono::nanoseconds store_blob{};    ///< writing them
    std::chrono::nanoseconds decompress{};    ///< with the checksums of gzip and zstd
    std::chrono::nanoseconds hash_archive{};  ///< diff id
    std::chrono::nanoseconds write_files{};   ///< reading the archive and making its files

    PhaseTimes& operator+=(const PhaseTimes& other) {
        fetch += other.fetch;
        hash_blob += other.hash_blob;
        store_blob += other.store_blob;
        decompress += other.decompress;
        hash_archive += other.hash_archive;
        write_files += other.write_files;
        return *this;
    }
};

/// CPU time of the calling thread, from one lap to the next (0.2 us each).
class ThreadClock {
  public:
    ThreadClock() : last_(now()) {}
    std::chrono::nanoseconds lap() {
        auto before = std::exchange(last_, now());
        return last_ - before;
    }

  private:
    static std::chrono::nanoseconds now() {
        timespec time{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }
    std::chrono::nanoseconds last_;
};

}  // namespace hull::layer
