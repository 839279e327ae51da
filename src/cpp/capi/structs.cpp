// structs.cpp: struct sizes, and copies between the caller's structs and this version's.
#include "capi/structs.h"

#include "capi/errors.h"

namespace bptt {
namespace {

constexpr size_t kLargestStruct = 4096;

std::string size_text(const Known& known) {
  return "struct_size " + std::to_string(known.size) + " (the size of " + known.name +
         ") or that of another version";
}

}  // namespace

bool is_size(size_t struct_size, const Known& known) {
  return struct_size >= known.least && struct_size <= kLargestStruct &&
         struct_size % known.alignment == 0;
}

void read_bytes(const void* given, const Known& known, const char* argument, void* into) {
  not_null(given, argument);
  size_t size;
  std::memcpy(&size, given, sizeof size);
  if (!is_size(size, known)) {
    fail(BPTT_ERR_STRUCT_SIZE, argument, size_text(known), "struct_size " + std::to_string(size));
  }
  const auto* bytes = static_cast<const unsigned char*>(given);
  for (size_t i = known.size; i < size; ++i) {
    if (bytes[i] != 0) {
      fail(BPTT_ERR_STRUCT_SIZE, argument, size_text(known),
           "fields of a later version that are not zero");
    }
  }
  std::memcpy(into, given, std::min(size, known.size));
}

void write_bytes(void* to, size_t struct_size, const void* from, const Known& known,
                 const char* argument) {
  not_null(to, argument);
  if (!is_size(struct_size, known)) {
    fail(BPTT_ERR_STRUCT_SIZE, "struct_size", size_text(known), std::to_string(struct_size));
  }
  const size_t both = std::min(struct_size, known.size);
  std::memcpy(to, from, both);
  std::memset(static_cast<char*>(to) + both, 0, struct_size - both);
  std::memcpy(to, &struct_size, sizeof struct_size);
}

}  // namespace bptt
