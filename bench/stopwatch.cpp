// stopwatch: runs one program and says what it took. Small and static, so that neither its own
// start nor its memory shows in the figures (a program's peak memory begins with that of the
// process that forked it).
//
//   stopwatch RESULT PROGRAM [ARGS...]
//
// Writes "wall_ns peak_kib user_us system_us exit" to the file RESULT; stdio is the program's.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <ctime>

namespace {

uint64_t now() {
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<uint64_t>(time.tv_sec) * 1000000000U + static_cast<uint64_t>(time.tv_nsec);
}

uint64_t microseconds(const timeval& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1000000U + static_cast<uint64_t>(time.tv_usec);
}

}  // namespace

int main(int count, char** values) {
    if (count < 3) {
        std::fprintf(stderr, "usage: stopwatch RESULT PROGRAM [ARGS...]\n");
        return 2;
    }
    uint64_t start = now();
    pid_t child = vfork();
    if (child == 0) {
        execvp(values[2], values + 2);
        _exit(127);
    }
    int status = 0;
    rusage used{};
    if (child < 0 || wait4(child, &status, 0, &used) < 0) {
        std::perror("stopwatch");
        return 2;
    }
    uint64_t wall = now() - start;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    FILE* result = std::fopen(values[1], "we");
    if (result == nullptr) {
        std::perror(values[1]);
        return 2;
    }
    std::fprintf(result, "%lu %ld %lu %lu %d\n", wall, used.ru_maxrss, microseconds(used.ru_utime),
                 microseconds(used.ru_stime), code);
    return std::fclose(result) == 0 ? 0 : 2;
}
