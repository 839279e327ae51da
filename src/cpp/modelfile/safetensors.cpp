// safetensors.cpp: reading and checking of a safetensors header, and writing of a file.
#include "modelfile/safetensors.h"

#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/pace.h"
#include "modelfile/json.h"

namespace bptt {
namespace {

struct ElementType {
  std::string_view name;
  uint64_t bytes;
};
constexpr ElementType kElementTypes[] = {{"F64", 8},     {"I64", 8},     {"U64", 8}, {"F32", 4},
                                         {"I32", 4},     {"U32", 4},     {"F16", 2}, {"BF16", 2},
                                         {"I16", 2},     {"U16", 2},     {"I8", 1},  {"U8", 1},
                                         {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"BOOL", 1}};

// Returns the size of an element; 0: unknown type.
uint64_t element_bytes(std::string_view dtype) {
  for (const ElementType& type : kElementTypes) {
    if (type.name == dtype) return type.bytes;
  }
  return 0;
}

[[noreturn]] void refuse(const std::string& reason) { throw SafetensorsError{reason}; }

// Returns a tensor's name as a message prints it.
std::string named(const std::string& name) {
  if (name.size() <= 80) return "tensor '" + name + "'";
  size_t length = 80;
  while ((static_cast<unsigned char>(name[length]) & 0xC0) == 0x80) --length;
  return "tensor '" + name.substr(0, length) + "...'";
}

std::string text_without_nul(JsonReader& json, size_t longest) {
  std::string text = json.string(longest);
  if (text.find('\0') != text.npos) json.fail("a NUL character");
  return text;
}

int64_t not_negative(JsonReader& json) {
  const int64_t value = json.integer();
  if (value < 0) json.fail("a negative integer");
  return value;
}

StoredTensor read_tensor(JsonReader& json, const std::string& name) {
  StoredTensor tensor;
  tensor.name = name;
  std::vector<uint64_t> offsets;
  bool has_shape = false;
  json.object(3, 16, [&](const std::string& key) {
    if (key == "dtype") {
      tensor.dtype = json.string(16);
    } else if (key == "shape") {
      has_shape = true;
      json.array(kMostRank, [&] { tensor.shape.push_back(not_negative(json)); });
    } else if (key == "data_offsets") {
      json.array(2, [&] { offsets.push_back(static_cast<uint64_t>(not_negative(json))); });
    } else {
      json.fail("an unknown key in " + named(name));
    }
  });
  if (tensor.dtype.empty() || !has_shape || offsets.size() != 2)
    refuse(named(name) + " lacks dtype, shape or data_offsets");
  tensor.begin = offsets[0];
  tensor.end = offsets[1];
  return tensor;
}

void check_extent(const StoredTensor& tensor) {
  uint64_t bytes = element_bytes(tensor.dtype);
  if (bytes == 0) refuse(named(tensor.name) + " has the unknown dtype '" + tensor.dtype + "'");
  for (const int64_t size : tensor.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes))
      refuse(named(tensor.name) + " is too large");
  }
  if (tensor.begin > tensor.end) refuse(named(tensor.name) + " ends before it begins");
  if (tensor.end - tensor.begin != bytes)
    refuse(named(tensor.name) + " has data that do not fit its shape");
}

// Checks that the tensors, in the order of their data, follow each other without gaps from 0 on.
void check_cover(const std::vector<StoredTensor>& tensors) {
  uint64_t reached = 0;
  for (const StoredTensor& tensor : tensors) {
    if (tensor.begin < reached) refuse(named(tensor.name) + " overlaps another");
    if (tensor.begin > reached) refuse("a gap before " + named(tensor.name));
    reached = tensor.end;
  }
}

void append_member(std::string& json, const std::string& key, const std::string& value) {
  if (json.back() != '{') json += ',';
  json += json_string(key) + ':' + value;
}

template <class Integer>
std::string json_integers(const std::vector<Integer>& values) {
  std::string json = "[";
  for (const Integer value : values) {
    if (json.size() > 1) json += ',';
    json += std::to_string(value);
  }
  return json + ']';
}

}  // namespace

const std::string* SafetensorsHeader::find_metadata(const std::string& key) const {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

SafetensorsHeader read_safetensors_header(const std::byte* bytes, size_t size) {
  if (size < 8) refuse("less than 8 bytes");
  uint64_t length;
  std::memcpy(&length, bytes, sizeof length);
  if (length > kMostHeaderBytes)
    refuse("a header of " + std::to_string(length) + " bytes, more than 16 MiB");
  if (length > size - 8)
    refuse("a header of " + std::to_string(length) + " bytes, more than there are");
  const std::string_view text(reinterpret_cast<const char*>(bytes) + 8,
                              static_cast<size_t>(length));
  if (!text.starts_with('{')) refuse("a header that does not begin with '{'");
  SafetensorsHeader header;
  try {
    JsonReader json(text);
    json.object(kMostTensors + 1, kLongestTensorName, [&](const std::string& name) {
      if (name.find('\0') != name.npos) json.fail("a NUL character");
      if (name == "__metadata__") {
        json.object(kMostTensors, kLongestTensorName, [&](const std::string& key) {
          if (key.find('\0') != key.npos) json.fail("a NUL character");
          header.metadata.emplace_back(key, text_without_nul(json, kMostHeaderBytes));
        });
      } else {
        header.tensors.push_back(read_tensor(json, name));
      }
    });
    json.end();
  } catch (const JsonError& error) { refuse("a header that is not right at " + error.reason); }
  if (header.tensors.size() > kMostTensors)
    refuse("more than " + std::to_string(kMostTensors) + " tensors");
  for (const StoredTensor& tensor : header.tensors) check_extent(tensor);
  std::sort(header.tensors.begin(), header.tensors.end(),
            [](const StoredTensor& a, const StoredTensor& b) {
              return a.begin != b.begin ? a.begin < b.begin
                     : a.end != b.end   ? a.end < b.end
                                        : a.name < b.name;
            });
  check_cover(header.tensors);
  header.data_begin = 8 + length;
  header.file_size = header.data_begin + (header.tensors.empty() ? 0 : header.tensors.back().end);
  return header;
}

std::vector<std::byte> write_safetensors(
    const std::vector<std::pair<std::string, std::string>>& metadata,
    std::vector<TensorToStore> tensors) {
  std::stable_sort(tensors.begin(), tensors.end(),
                   [](const TensorToStore& a, const TensorToStore& b) {
                     return element_bytes(a.dtype) > element_bytes(b.dtype);
                   });
  if (tensors.size() > kMostTensors)
    refuse("more than " + std::to_string(kMostTensors) + " tensors");
  if (metadata.size() > kMostTensors)
    refuse("more than " + std::to_string(kMostTensors) + " entries of metadata");
  std::string pairs = "{";
  for (const auto& [key, value] : metadata) append_member(pairs, key, json_string(value));
  std::string header = "{";
  append_member(header, "__metadata__", pairs + '}');
  uint64_t reached = 0;
  for (const TensorToStore& tensor : tensors) {
    const std::vector<uint64_t> offsets{reached, reached + tensor.bytes};
    append_member(header, tensor.name,
                  "{\"dtype\":" + json_string(tensor.dtype) +
                      ",\"shape\":" + json_integers(tensor.shape) +
                      ",\"data_offsets\":" + json_integers(offsets) + '}');
    reached += tensor.bytes;
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kMostHeaderBytes) refuse("a header of more than 16 MiB");

  std::vector<std::byte> file;
  file.reserve(8 + header.size() + reached);
  Pace pace;
  const auto append = [&](const void* data, size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    in_pieces(size, pace, [&](size_t begin, size_t count) {
      file.insert(file.end(), bytes + begin, bytes + begin + count);
    });
  };
  const uint64_t length = header.size();
  append(&length, sizeof length);
  append(header.data(), header.size());
  for (const TensorToStore& tensor : tensors) append(tensor.data, tensor.bytes);
  return file;
}

}  // namespace bptt
