// spectral_radius.cpp: the engine's spectral radius of matrices in a file, each preceded by its
// size.
#include "model/spectral_radius.h"

#include <cstdio>

int main(int, char** arguments) {
  std::FILE* file = std::fopen(arguments[1], "rb");
  if (!file) return 1;
  for (int64_t n = 0; std::fread(&n, sizeof n, 1, file) == 1;) {
    bptt::Buffer<double> matrix(n * n);
    if (std::fread(matrix.data(), sizeof(double), size_t(n * n), file) != size_t(n * n)) return 1;
    bptt::Pace pace;
    std::printf("%.17g\n", bptt::spectral_radius(matrix, n, pace));
  }
  std::fclose(file);
  return 0;
}
