// arrays.h: the caller's arrays: checks before any of them is written, and conversion for the
// engine.
#pragma once

#include <vector>

#include "capi/errors.h"
#include "capi/structs.h"
#include "model/model.h"
#include "model/network.h"

namespace bptt {

// The arrays of one call. No output may overlap another array; null arrays are ignored.
class Arrays {
 public:
  // `count` contiguous elements.
  template <class T>
  void flat(const char* name, const T* base, int64_t count, bool output) {
    if (base) add(name, base, 1, 1, count, 0, 0, sizeof(T), output);
  }
  // A single result.
  template <class T>
  void result(const char* name, const T* place) {
    flat(name, place, 1, true);
  }
  // A struct that receives results; `known` is a copy of it (structs.h).
  template <class Struct>
  void known(const char* name, const Struct* place, const Struct& known) {
    flat(name, reinterpret_cast<const char*>(place), int64_t(known_size(known)), true);
  }
  // [steps, batch, features] with strides. The elements of an output must not overlap each other.
  template <class T>
  void strided(const char* name, const T* base, int64_t steps, int64_t batch, int64_t features,
               int64_t t, int64_t n, bool output) {
    if (base) add(name, base, steps, batch, features, t, n, sizeof(T), output);
  }

 private:
  // outer.count * inner.count rows of `row` bytes; strides are positive, in bytes.
  struct Axis {
    int64_t stride, count;
  };
  struct Span {
    const char* name;
    const char *begin, *end;
    Axis outer, inner;
    int64_t row;
    bool output;
    Span merged() const;
    int64_t pitch() const;
    bool has(int64_t from, int64_t to) const;
    bool meets(const Span& result) const;
  };
  void add(const char* name, const void* base, int64_t steps, int64_t batch, int64_t features,
           int64_t t, int64_t n, size_t element, bool output);
  static constexpr int kMost = 36;  // a backward call with its whole flow has 22
  Span spans_[kMost];
  int count_ = 0;
};

// Each function checks one of the caller's structs, adds its arrays to those of the call, and
// returns it in the engine's form. check_extent reads only a sequence's sizes and lengths.
template <class T>
Sequence<T> check_extent(const bptt_sequence* given, Arrays& arrays);
template <class T>
Sequence<T> check_sequence(const NetworkConfig& config, const bptt_sequence* given, Arrays& arrays);
// Checks the results of a call whose sequence is known.
template <class T>
void check_outputs(const NetworkConfig& config, const bptt_outputs* given, ForwardCall<T>& call,
                   Arrays& arrays);
template <class T>
BackwardCall<T> check_backward(const Network<T>& network, const Tape<T>& tape,
                               const bptt_backward* given);
template <class T>
Target<T> check_target(const ModelConfig& config, const Sequence<T>& sequence,
                       const bptt_target* given, Arrays& arrays);

// Checks the arrays for the gradient's flow; null: not wanted. `overlapping`: windows of truncation
// overlap, so that no flow exists.
template <class T>
FlowRequest<T> check_flow(const NetworkConfig& config, const bptt_flow* given, int64_t steps,
                          int64_t batch, bool overlapping, Arrays& arrays);

// Refuses an array of cell states if the cell has none.
void lstm_only(const NetworkConfig& config, const void* array, const char* argument);

// The number of elements of h0 and hn, and of c0 and cn.
inline int64_t h_count(const NetworkConfig& config, int64_t batch) {
  return checked_count(config.walks(), batch, config.state());
}
inline int64_t c_count(const NetworkConfig& config, int64_t batch) {
  return checked_count(config.walks(), batch, config.hidden);
}

// Copies lengths, resets, tokens, classes and weights, and checks the copies. A caller who changes
// them during the call can therefore change only results. Values beyond the length of a sequence
// and classes with weight 0 are not read. Call it last, when no other check can fail. `copy` must
// live as long as the call.
struct SequenceCopy {
  std::vector<int64_t> lengths, tokens;
  std::vector<uint8_t> resets;
};
template <class T>
void own_sequence(const NetworkConfig& config, Sequence<T>& sequence, SequenceCopy& copy);
template <class T>
struct TargetCopy {
  std::vector<int64_t> classes;
  std::vector<T> weights;
};
template <class T>
void own_target(const ModelConfig& config, const Sequence<T>& sequence, Target<T>& target,
                TargetCopy<T>& copy);

// Returns " at step t of sequence n".
std::string place_text(int64_t t, int64_t n);

// Returns a copy [steps, batch] of numbers for which right(number) holds; refuses others. Numbers
// for which counts(t, n) is false are not read and become 0.
template <class T, class Counts, class Right>
std::vector<T> copy_checked(bptt_status status, const char* argument, const std::string& expected,
                            const T* from, int64_t steps, int64_t batch, int64_t t, int64_t n,
                            const Counts& counts, const Right& right) {
  using Number = std::conditional_t<std::is_integral_v<T>, int64_t, double>;
  const int64_t count = checked_count(steps, batch);
  require_memory(count, sizeof(T));
  std::vector<T> copy(static_cast<size_t>(count));
  auto next = copy.begin();
  for (int64_t i = 0; i < steps; ++i) {
    for (int64_t j = 0; j < batch; ++j, ++next) {
      if (!counts(i, j)) continue;
      *next = from[i * t + j * n];
      if (!right(*next)) fail(status, argument, expected, text(Number(*next)) + place_text(i, j));
    }
  }
  return copy;
}

// Refuses sizes for which a tape of all steps does not fit into memory, if `remember` or the layers
// are bidirectional.
template <class T>
void require_tape_memory(const NetworkConfig& config, const Sequence<T>& sequence, bool remember);

}  // namespace bptt
