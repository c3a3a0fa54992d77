// hull-image: everything that touches images and the network's bytes. Exit code 125 on failure.

#include <string>
#include <vector>

#include "image/command.hpp"

int main(int argc, char** argv) {
    std::vector<std::string> args(argv + 1, argv + argc);
    return hull::image::run_hull_image(args);
}
