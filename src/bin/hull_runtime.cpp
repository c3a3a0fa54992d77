#include <string>
#include <vector>

#include "runtime/commands.hpp"

/// The OCI runtime: exit code 1 (exec: 255) when it fails itself, else that of the container.
int main(int count, char** words) {
    std::vector<std::string> args(words + (count > 0 ? 1 : 0), words + count);
    return hull::runtime::run_command_line(args);
}
