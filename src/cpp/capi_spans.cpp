// capi_spans.cpp: no output of a call lies on another of its arrays.
#include <cstdlib>

#include "capi_arrays.h"

namespace bptt {
namespace {

constexpr int64_t kFarthest = int64_t{1} << 46;  // elements; beyond this no address space reaches

// How far apart the first and the last of `count` are.
int64_t distance(int64_t stride, int64_t count) {
  if (count == 1) return 0;
  if (stride < -kFarthest || stride > kFarthest) throw std::bad_alloc();
  const int64_t elements = checked_count(std::llabs(stride), count - 1);
  if (elements > kFarthest) throw std::bad_alloc();
  return elements;
}

}  // namespace

std::string place_text(int64_t t, int64_t n) {
  return " at step " + text(t) + " of sequence " + text(n);
}

void Arrays::add(const char* name, const void* base, int64_t steps, int64_t batch, int64_t features,
                 int64_t t, int64_t n, size_t element, bool output) {
  const int64_t over_t = distance(t, steps), over_n = distance(n, batch);
  if (features > kFarthest) throw std::bad_alloc();
  const int64_t size = static_cast<int64_t>(element);
  const bool rows_apart = batch == 1 || std::llabs(n) >= features;
  const bool steps_apart = steps == 1 || std::llabs(t) >= features;
  const bool nested = steps == 1 || batch == 1 || std::llabs(t) >= over_n + features ||
                      std::llabs(n) >= over_t + features;
  if (output && !(rows_apart && steps_apart && nested)) {
    fail(BPTT_ERR_ARGUMENT, name,
         "strides that give every element of [" + text(steps) + ", " + text(batch) + ", " +
             text(features) + "] a place of its own",
         "stride_t " + text(t) + ", stride_n " + text(n));
  }
  const char* begin =
      static_cast<const char*>(base) - ((t < 0 ? over_t : 0) + (n < 0 ? over_n : 0)) * size;
  const Span span = {name, begin, begin + (over_t + over_n + features) * size,
                     over_t + over_n + features == checked_count(steps, batch, features), output};
  for (int i = 0; i < count_; ++i) {
    const Span& other = spans_[i];
    if (!output && !other.output) continue;
    // Strided arrays may lie between each other's rows; then only the same start is surely a
    // mistake.
    const bool touch = span.begin < other.end && other.begin < span.end;
    if (touch && ((span.dense && other.dense) || span.begin == other.begin)) {
      fail(BPTT_ERR_ARGUMENT, output ? name : other.name,
           std::string("memory that does not overlap '") + (output ? other.name : name) + "'",
           "overlapping memory");
    }
  }
  spans_[count_++] = span;
}

}  // namespace bptt
