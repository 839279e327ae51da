// handles.h: handles, the numbers that bptt.h passes as pointers. A handle packs generation, tag
// and index into 64 bits. It is compared with a slot of a table and never dereferenced, so that a
// stale, foreign or invented handle is detected.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>

namespace bptt {

// The first five are objects. The others are views: parts of an object that exist as long as it
// does.
enum class Tag : uint8_t {
  layer = 1,
  tape = 2,
  optimizer = 3,
  model = 4,
  stream = 5,
  layer_params = 6,
  model_params = 7,
  model_optimizer = 8
};

// Returns the type's name in C: "bptt_layer".
const char* type_name(Tag tag);

struct Object {
  virtual ~Object() = default;
};

struct Slot {
  std::atomic<uint64_t> state{0};  // generation (32 bits), tag (4), number of calls inside (28)
  Object* object = nullptr;
  uint32_t index = 0;
  Slot* next_free = nullptr;
};

// Takes ownership of the object and returns its handle. Throws std::bad_alloc; the object is
// destroyed then.
void* new_handle(Tag tag, std::unique_ptr<Object> object);

// Returns the handle of a view of an object: the same slot with another tag, without additional
// memory.
void* view_handle(const void* handle, Tag view);

// Keeps the object of a handle alive during its lifetime: freeing it fails with BPTT_ERR_BUSY.
// Takes no lock. Throws Error (BPTT_ERR_HANDLE).
class Use {
 public:
  Use(const void* handle, std::initializer_list<Tag> accepted, const char* argument);
  ~Use() { slot_->state.fetch_sub(1, std::memory_order_release); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  Tag tag() const { return tag_; }
  template <class Type>
  Type& as() const {
    return static_cast<Type&>(*slot_->object);
  }

 private:
  Slot* slot_;
  Tag tag_;
};

// Invalidates the handle and its views, and deletes the object. Ignores NULL. Throws Error
// (BPTT_ERR_HANDLE, BPTT_ERR_BUSY).
void free_handle(const void* handle, Tag tag, const char* argument);

}  // namespace bptt
