// handles.cpp: the table of handles, its free slots, and their use by calls.
#include "capi/handles.h"

#include <bit>
#include <new>
#include <string>

#include "base/error.h"
#include "base/fork.h"

namespace bptt {
namespace {

constexpr int kUserBits = 28;
constexpr int kTagBits = 4;
constexpr uint64_t kUsers = (uint64_t{1} << kUserBits) - 1;
constexpr uint32_t kLastGeneration = UINT32_MAX;

// Chunk k holds 64 * 2^k slots and never moves, so that slots can be read while the table grows.
constexpr int kChunks = kUserBits - 5;
std::atomic<Slot*> chunks[kChunks];

struct FreeSlots {
  Slot* first = nullptr;
  int chunk_count = 0;
  // in a forked child the list may be inconsistent; its free slots are not reused
  FreeSlots() noexcept {
    while (chunk_count < kChunks && chunks[chunk_count].load(std::memory_order_acquire))
      ++chunk_count;
  }
};
Guarded<FreeSlots> free_slots;

static_assert(sizeof(void*) == 8, "handles need 64-bit pointers");

uint64_t bits(const void* handle) { return reinterpret_cast<uintptr_t>(handle); }
Tag tag_of(uint64_t id) { return static_cast<Tag>(id >> kUserBits & ((1u << kTagBits) - 1)); }
uint64_t with_tag(uint64_t id, Tag tag) {
  constexpr uint64_t mask = ((uint64_t{1} << kTagBits) - 1) << kUserBits;
  return (id & ~mask) | uint64_t(tag) << kUserBits;
}

Tag owner_of(Tag tag) {
  switch (tag) {
    case Tag::layer_params:
      return Tag::layer;
    case Tag::model_params:
    case Tag::model_optimizer:
      return Tag::model;
    default:
      return tag;
  }
}

Slot* slot_at(uint64_t id) {
  const uint64_t position = (id & kUsers) + 64;
  const int chunk = std::bit_width(position) - 7;
  if (chunk >= kChunks) return nullptr;
  Slot* slots = chunks[chunk].load(std::memory_order_acquire);
  return slots ? slots + (position - (uint64_t{64} << chunk)) : nullptr;
}

void grow(FreeSlots& free) {
  if (free.chunk_count == kChunks) throw std::bad_alloc();
  const uint32_t size = uint32_t{64} << free.chunk_count;
  Slot* slots = new Slot[size];
  for (uint32_t i = size; i-- > 0;) {
    slots[i].index = size - 64 + i;
    slots[i].next_free = free.first;
    free.first = &slots[i];
  }
  chunks[free.chunk_count++].store(slots, std::memory_order_release);
}

void put_back(Slot* slot) {
  if (slot->state.load(std::memory_order_relaxed) >> 32 == kLastGeneration)
    return;  // no generation is left for this slot
  const auto free = free_slots.access();
  slot->next_free = free->first;
  free->first = slot;
}

[[noreturn]] void refuse(uint64_t id, std::initializer_list<Tag> accepted, const char* argument) {
  const Tag tag = tag_of(id);
  std::string got;
  if (id == 0) {
    got = "NULL";
  } else if (tag < Tag::layer || tag > Tag::model_optimizer) {
    got = "a pointer that is no handle";
  } else if (std::string(type_name(tag)) == type_name(*accepted.begin())) {
    got = std::string("a ") + type_name(tag) + " that was freed or never existed";
  } else {
    got = std::string("a ") + type_name(tag);
  }
  throw Error(BPTT_ERR_HANDLE, argument, std::string("a valid ") + type_name(*accepted.begin()),
              got);
}

}  // namespace

const char* type_name(Tag tag) {
  switch (tag) {
    case Tag::layer:
      return "bptt_layer";
    case Tag::tape:
      return "bptt_tape";
    case Tag::optimizer:
    case Tag::model_optimizer:
      return "bptt_optimizer";
    case Tag::model:
      return "bptt_model";
    case Tag::stream:
      return "bptt_stream";
    default:
      return "bptt_params";
  }
}

void* new_handle(Tag tag, std::unique_ptr<Object> object) {
  Slot* slot = nullptr;
  {
    const auto free = free_slots.access();
    if (!free->first) grow(*free);
    slot = free->first;
    free->first = slot->next_free;
  }
  slot->object = object.release();
  const uint64_t generation = (slot->state.load(std::memory_order_relaxed) >> 32) + 1;
  const uint64_t state = with_tag(generation << 32, tag);
  slot->state.store(state, std::memory_order_release);
  return reinterpret_cast<void*>(static_cast<uintptr_t>(state | slot->index));
}

void* view_handle(const void* handle, Tag view) {
  return reinterpret_cast<void*>(static_cast<uintptr_t>(with_tag(bits(handle), view)));
}

Use::Use(const void* handle, std::initializer_list<Tag> accepted, const char* argument) {
  const uint64_t id = bits(handle);
  tag_ = tag_of(id);
  for (const Tag tag : accepted) {
    if (tag != tag_) continue;
    slot_ = slot_at(id);
    if (!slot_) break;
    const uint64_t wanted = with_tag(id, owner_of(tag)) >> kUserBits;
    uint64_t state = slot_->state.load(std::memory_order_acquire);
    while (state >> kUserBits == wanted) {
      if (slot_->state.compare_exchange_weak(state, state + 1, std::memory_order_acquire)) return;
    }
  }
  refuse(id, accepted, argument);
}

void free_handle(const void* handle, Tag tag, const char* argument) {
  const uint64_t id = bits(handle);
  if (id == 0) return;
  Slot* slot = tag_of(id) == tag ? slot_at(id) : nullptr;
  if (!slot) refuse(id, {tag}, argument);
  uint64_t idle = id & ~kUsers;
  if (!slot->state.compare_exchange_strong(idle, with_tag(id, Tag{0}) & ~kUsers,
                                           std::memory_order_acq_rel)) {
    if (idle >> kUserBits != id >> kUserBits) refuse(id, {tag}, argument);
    throw Error(BPTT_ERR_BUSY, argument, "", "another call is using it");
  }
  const std::unique_ptr<Object> object(slot->object);
  slot->object = nullptr;
  put_back(slot);
}

}  // namespace bptt
