// file.cpp: model files, and the metadata and tensors that are saved with a model.
#include <algorithm>
#include <cstddef>
#include <iterator>

#include "base/pace.h"
#include "capi/arrays.h"
#include "capi/environment.h"
#include "capi/locks.h"
#include "capi/objects.h"

namespace bptt {
namespace {

constexpr size_t kLongestKey = 256;

// Returns whether the bytes are valid UTF-8 (RFC 3629), as a JSON header requires.
bool is_utf8(const char* bytes) {
  const auto* c = reinterpret_cast<const unsigned char*>(bytes);
  while (*c) {
    const int more = *c < 0x80                 ? 0
                     : *c >= 0xC2 && *c < 0xE0 ? 1
                     : *c >= 0xE0 && *c < 0xF0 ? 2
                     : *c >= 0xF0 && *c < 0xF5 ? 3
                                               : -1;
    if (more < 0) return false;
    uint32_t point = more == 0 ? *c : *c & (0x3Fu >> more);
    for (int i = 1; i <= more; ++i) {
      if ((c[i] & 0xC0) != 0x80) return false;
      point = point << 6 | (c[i] & 0x3Fu);
    }
    if ((more == 2 && point < 0x800) || (more == 3 && (point < 0x10000 || point > 0x10FFFF)) ||
        (point >= 0xD800 && point < 0xE000)) {
      return false;
    }
    c += more + 1;
  }
  return true;
}

void check_utf8(const char* value, const char* argument) {
  if (!is_utf8(value)) fail(BPTT_ERR_ARGUMENT, argument, "UTF-8 text", "bytes that are not UTF-8");
}

void check_key(const char* key, const char* argument) {
  not_null(key, argument);
  const size_t length = std::strlen(key);
  if (length < 1 || length > kLongestKey) {
    fail(BPTT_ERR_ARGUMENT, argument, "1 to " + std::to_string(kLongestKey) + " bytes",
         std::to_string(length));
  }
  check_utf8(key, argument);
}

// Returns a size as the signed type that the rest of the library uses.
int64_t signed_size(size_t size) {
  if (size > size_t(INT64_MAX)) throw std::bad_alloc();
  return int64_t(size);
}

const char* check_path(const char* path) {
  if (!*not_null(path, "path"))
    fail(BPTT_ERR_ARGUMENT, "path", "the name of a file", "an empty text");
  return path;
}

std::vector<std::byte> bytes_of(const Either<Model>& model) {
  return on(model, [](const auto& it) {
    const Reading reading(it->network().params().lock);
    return serialize(*it);
  });
}

bptt_model* adopt(AnyModel loaded) {
  auto object = std::make_unique<ModelObject>();
  if (loaded.index() == 0) {
    object->model = std::shared_ptr<Model<float>>(std::move(std::get<0>(loaded)));
  } else {
    object->model = std::shared_ptr<Model<double>>(std::move(std::get<1>(loaded)));
  }
  return static_cast<bptt_model*>(new_handle(Tag::model, std::move(object)));
}

// Runs body() and names the argument that passed the bytes in an error about them.
template <class Body>
void read_from(const char* argument, const Body& body) {
  try {
    body();
  } catch (Error& error) {
    if (error.status == BPTT_ERR_FORMAT) error.argument = argument;
    throw;
  }
}

// Runs body(Model<T>&) while no other call changes the model.
template <class Lock, class Body>
void with_model(bptt_model* model, const Body& body) {
  const Use use(model, {Tag::model}, "model");
  on(use.as<ModelObject>().model, [&](const auto& it) {
    const Lock lock(it->network().params().lock);
    body(*it);
  });
}

// Returns the entry of a map at an index, in the order of the keys.
template <class Map>
typename Map::const_iterator entry_at(const Map& map, int64_t index) {
  const int64_t count = int64_t(map.size());
  if (index < 0 || index >= count) {
    fail(BPTT_ERR_RANGE, "index",
         count ? "an integer from 0 to " + text(count - 1) : "nothing, because there are none",
         text(index));
  }
  return std::next(map.begin(), index);
}

Extra::Type extra_type(int32_t dtype) {
  if (dtype == BPTT_INT64) return Extra::Type::int64;
  if (dtype != BPTT_FLOAT32 && dtype != BPTT_FLOAT64) {
    fail(BPTT_ERR_TYPE, "dtype", "BPTT_FLOAT32 (1), BPTT_FLOAT64 (2) or BPTT_INT64 (3)",
         text(int64_t{dtype}));
  }
  return dtype == BPTT_FLOAT32 ? Extra::Type::float32 : Extra::Type::float64;
}

bptt_dtype extra_dtype(Extra::Type type) {
  return type == Extra::Type::int64     ? BPTT_INT64
         : type == Extra::Type::float32 ? BPTT_FLOAT32
                                        : BPTT_FLOAT64;
}

Extra check_extra(int32_t dtype, int64_t rank, const int64_t* shape, const void* values) {
  Extra extra;
  extra.type = extra_type(dtype);
  if (rank < 0 || rank > 8) fail(BPTT_ERR_ARGUMENT, "rank", "an integer from 0 to 8", text(rank));
  if (rank > 0) not_null(shape, "shape");
  int64_t count = 1;
  for (int64_t i = 0; i < rank; ++i) {
    if (shape[i] < 0) fail(BPTT_ERR_ARGUMENT, "shape", "integers >= 0", text(shape[i]));
    count = checked_count(count, shape[i]);
  }
  const size_t element = extra.type == Extra::Type::float32 ? 4 : 8;
  require_memory(count, element);
  extra.shape.assign(shape, shape + rank);
  const auto* bytes = static_cast<const std::byte*>(values);
  extra.bytes.assign(bytes, bytes + checked_bytes(count, element));
  return extra;
}

}  // namespace

}  // namespace bptt

using namespace bptt;

bptt_status bptt_model_save(bptt_model* model, const char* path) {
  return guard("bptt_model_save", [&] {
    const Use use(model, {Tag::model}, "model");
    check_path(path);
    write_file(path, bytes_of(use.as<ModelObject>().model));
  });
}

bptt_status bptt_model_load(const char* path, bptt_model** model) {
  return guard("bptt_model_load", [&] {
    not_null(model, "model");
    check_path(path);
    check_environment();
    read_from("path", [&] {
      const std::vector<std::byte> bytes = read_file(path);
      *model = adopt(deserialize(bytes.data(), bytes.size()));
    });
  });
}

bptt_status bptt_model_serialize(bptt_model* model, void* buffer, size_t capacity, size_t* size) {
  return guard("bptt_model_serialize", [&] {
    const Use use(model, {Tag::model}, "model");
    not_null(size, "size");
    const std::vector<std::byte> bytes = bytes_of(use.as<ModelObject>().model);
    Arrays arrays;
    arrays.result("size", size);
    arrays.flat("buffer", static_cast<std::byte*>(buffer),
                int64_t(std::min(capacity, bytes.size())), true);
    *size = bytes.size();
    if (!buffer) return;
    if (capacity < bytes.size()) {
      fail(BPTT_ERR_ARGUMENT, "capacity", std::to_string(bytes.size()) + " bytes",
           std::to_string(capacity));
    }
    Pace pace;
    in_pieces(bytes.size(), pace, [&](size_t begin, size_t count) {
      std::memcpy(static_cast<std::byte*>(buffer) + begin, bytes.data() + begin, count);
    });
  });
}

bptt_status bptt_model_deserialize(const void* buffer, size_t size, bptt_model** model) {
  return guard("bptt_model_deserialize", [&] {
    not_null(model, "model");
    not_null(buffer, "buffer");
    check_environment();
    Arrays arrays;
    arrays.flat("buffer", static_cast<const std::byte*>(buffer), signed_size(size), false);
    arrays.result("model", model);
    read_from("buffer",
              [&] { *model = adopt(deserialize(static_cast<const std::byte*>(buffer), size)); });
  });
}

bptt_status bptt_model_set_metadata(bptt_model* model, const char* key, const char* value) {
  return guard("bptt_model_set_metadata", [&] {
    check_key(key, "key");
    if (value) check_utf8(value, "value");
    with_model<Changing>(model, [&](auto& it) {
      if (value) {
        it.metadata.insert_or_assign(key, value);
      } else if (it.metadata.erase(key) == 0) {
        fail(BPTT_ERR_NAME, "key", "a key that is there", quoted(key));
      }
    });
  });
}

bptt_status bptt_model_get_metadata(bptt_model* model, const char* key, const char** value) {
  return guard("bptt_model_get_metadata", [&] {
    not_null(key, "key");
    not_null(value, "value");
    with_model<Reading>(model, [&](auto& it) {
      const auto found = it.metadata.find(key);
      if (found == it.metadata.end())
        fail(BPTT_ERR_NAME, "key", "a key that is there", quoted(key));
      *value = found->second.c_str();
    });
  });
}

bptt_status bptt_model_metadata_key(bptt_model* model, int64_t index, const char** key) {
  return guard("bptt_model_metadata_key", [&] {
    not_null(key, "key");
    with_model<Reading>(model,
                        [&](auto& it) { *key = entry_at(it.metadata, index)->first.c_str(); });
  });
}

bptt_status bptt_model_set_extra(bptt_model* model, const char* name, bptt_dtype dtype,
                                 int64_t rank, const int64_t* shape, const void* values) {
  return guard("bptt_model_set_extra", [&] {
    check_key(name, "name");
    if (!values) {
      with_model<Changing>(model, [&](auto& it) {
        if (it.extras.erase(name) == 0)
          fail(BPTT_ERR_NAME, "name", "a name that is there", quoted(name));
      });
      return;
    }
    Extra extra = check_extra(raw(dtype), rank, shape, values);
    with_model<Changing>(model,
                         [&](auto& it) { it.extras.insert_or_assign(name, std::move(extra)); });
  });
}

bptt_status bptt_model_extra(bptt_model* model, int64_t index, bptt_extra_info* info,
                             size_t struct_size) {
  return guard("bptt_model_extra", [&] {
    with_model<Reading>(model, [&](auto& it) {
      const auto& [name, extra] = *entry_at(it.extras, index);
      bptt_extra_info known = {};
      known.name = name.c_str();
      known.dtype = extra_dtype(extra.type);
      known.rank = int64_t(extra.shape.size());
      std::copy(extra.shape.begin(), extra.shape.end(), known.shape);
      known.values = extra.bytes.data();
      write_struct(info, struct_size, known, "info");
    });
  });
}
