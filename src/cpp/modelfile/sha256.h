// sha256.h: SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bptt {

class Sha256 {
 public:
  void update(const std::byte* data, size_t size);
  std::string hex_digest();  // 64 lower-case digits; ends the computation

 private:
  void blocks(const std::byte* data, size_t count);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> pending_{};
  uint64_t size_ = 0;
};

}  // namespace bptt
