// capi_arrays.h: the caller's arrays, checked before anything is touched, as the engine takes them.
#pragma once

#include <vector>

#include "capi.h"

namespace bptt {

template <class T>
Sequence<T> check_sequence(const NetworkConfig& config, const bptt_sequence* given);
template <class T>
Outputs<T> check_outputs(const NetworkConfig& config, const Sequence<T>& sequence,
                         const bptt_outputs* given);
template <class T>
Backward<T> check_backward(const Network<T>& network, const Tape<T>& tape,
                           const bptt_backward* given);
template <class T>
Target<T> check_target(const ModelConfig& config, const Sequence<T>& sequence,
                       const bptt_target* given);

// Last, when nothing else can be refused: tokens, classes and weights are copied and the copy is
// checked, so that a caller who changes them during the call changes a result at most. `copy` must
// live as long as the call.
using Indices = std::vector<int64_t>;
template <class T>
void own_tokens(const NetworkConfig& config, Sequence<T>& sequence, Indices& copy);
template <class T>
struct TargetCopy {
  Indices classes;
  std::vector<T> weights;
};
template <class T>
void own_target(const ModelConfig& config, Target<T>& target, TargetCopy<T>& copy);

// Memory that a tape of this sequence takes must exist.
template <class T>
void require_tape_memory(const NetworkConfig& config, const Sequence<T>& sequence);

// The arrays of one call: no output may lie on another array.
class Arrays {
 public:
  // count elements, one after the other; null is no array.
  template <class T>
  void flat(const char* name, const T* base, int64_t count, bool output) {
    if (base) add(name, base, 1, 1, count, 0, 0, sizeof(T), output);
  }
  // [steps, batch, features] with strides; an output's elements must not share places with each
  // other.
  template <class T>
  void strided(const char* name, const T* base, int64_t steps, int64_t batch, int64_t features,
               int64_t t, int64_t n, bool output) {
    if (base) add(name, base, steps, batch, features, t, n, sizeof(T), output);
  }

 private:
  struct Span {
    const char* name;
    const char *begin, *end;
    bool dense, output;
  };
  void add(const char* name, const void* base, int64_t steps, int64_t batch, int64_t features,
           int64_t t, int64_t n, size_t element, bool output);
  Span spans_[12];
  int count_ = 0;
};

template <class T>
void add_target(const NetworkConfig& config, const Target<T>& target, Arrays& arrays);

}  // namespace bptt
