// handles.h: the numbers that bptt.h dresses as pointers. A handle is generation, tag and index
// packed into 64 bits; it is compared with a slot of a table and never dereferenced, so a stale,
// foreign or invented one is found out.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>

namespace bptt {

// The first five name objects; the views name a part of one and live and die with it.
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

// "bptt_layer" and so on: the type's name in C.
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

// Takes the object over and gives its handle. Throws std::bad_alloc, and then the object is gone.
void* new_handle(Tag tag, std::unique_ptr<Object> object);

// The handle of a view of an object: the same slot under another tag. No memory of its own.
void* view_handle(const void* handle, Tag view);

// While it lives, the object stays: freeing it is BPTT_ERR_BUSY. Takes no lock. Throws Error
// (BPTT_ERR_HANDLE).
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

// Ends the handle and its views and deletes the object. NULL does nothing. Throws Error
// (BPTT_ERR_HANDLE, BPTT_ERR_BUSY).
void free_handle(const void* handle, Tag tag, const char* argument);

}  // namespace bptt
