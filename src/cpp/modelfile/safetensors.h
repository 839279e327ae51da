// safetensors.h: the container of model files (https://huggingface.co/docs/safetensors): 8 bytes
// with the length n of the header, little-endian; a header of n bytes, a JSON object
// {"__metadata__": {key: text}, name: {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin,
// end]}}; then the data, which the tensors cover without gap or overlap.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace bptt {

static_assert(std::endian::native == std::endian::little,
              "tensors are written as they lie in memory");

constexpr uint64_t kMostHeaderBytes = uint64_t{16} << 20;
constexpr size_t kMostTensors = 100000, kMostRank = 8, kLongestTensorName = 1024;

struct StoredTensor {
  std::string name;
  std::string dtype;            // "F32", "F64", "I64", ...: the names of the format
  std::vector<int64_t> shape;   // at most kMostRank dimensions
  uint64_t begin = 0, end = 0;  // bytes, from the start of the data
};

struct SafetensorsHeader {
  std::vector<std::pair<std::string, std::string>> metadata;  // in the order of the file
  std::vector<StoredTensor> tensors;                          // in the order of their data
  uint64_t data_begin = 0;                                    // bytes before the data
  uint64_t file_size = 0;  // size of a whole file with this header

  const std::string* find_metadata(const std::string& key) const;  // null if absent
};

// The description of an error in a file.
struct SafetensorsError {
  std::string reason;
};

// Reads and checks the header: limits, syntax, names without NUL, dtypes, shapes, and that tensors
// cover the data. `bytes` holds `size` bytes: at least 8, and the whole header. The caller compares
// the size of the file with `file_size`. Throws SafetensorsError, std::bad_alloc.
SafetensorsHeader read_safetensors_header(const std::byte* bytes, size_t size);

struct TensorToStore {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  const void* data;
  size_t bytes;
};

// Returns a whole file, with metadata in the given order and data on 8-byte boundaries (tensors of
// 8-byte elements first, otherwise in the given order). Throws SafetensorsError if a limit is
// exceeded, std::bad_alloc, Error (cancelled).
std::vector<std::byte> write_safetensors(
    const std::vector<std::pair<std::string, std::string>>& metadata,
    std::vector<TensorToStore> tensors);

}  // namespace bptt
