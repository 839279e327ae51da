// sha256.cpp: the SHA-256 of standard input, with or without the CPU's instructions. Usage: sha256
// native|portable LENGTH ...: for each length, prints the digest of the first bytes on one line.
#include "modelfile/sha256.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/kernels.h"

namespace bptt {

void kernels_sha256(uint32_t* state, const uint32_t* rounds, const void* data, size_t blocks);

static bool portable;
Sha256Blocks sha256_blocks() { return portable ? nullptr : kernels_sha256; }

}  // namespace bptt

// Passes the bytes in pieces of uneven sizes, so that blocks begin at any position.
int main(int argc, char** argv) {
  if (argc < 2) return 2;
  bptt::portable = std::strcmp(argv[1], "portable") == 0;
  std::vector<std::byte> bytes;
  std::byte buffer[4096];
  while (const size_t got = std::fread(buffer, 1, sizeof buffer, stdin))
    bytes.insert(bytes.end(), buffer, buffer + got);
  for (int i = 2; i < argc; ++i) {
    const size_t length = std::strtoull(argv[i], nullptr, 10);
    if (length > bytes.size()) return 3;
    bptt::Sha256 whole, pieces;
    whole.update(bytes.data(), length);
    for (size_t at = 0, piece = 1; at < length; at += piece, piece = piece * 3 % 251 + 1) {
      if (piece > length - at) piece = length - at;
      pieces.update(bytes.data() + at, piece);
    }
    const std::string digest = whole.hex_digest();
    if (digest != pieces.hex_digest()) return 4;
    std::puts(digest.c_str());
  }
  return 0;
}
