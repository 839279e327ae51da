// overlap.cpp: detection of outputs that overlap another array of the same call.
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "capi/arrays.h"

namespace bptt {
namespace {

constexpr int64_t kFarthest = int64_t{1} << 46;  // elements; larger than any address space

// Returns the distance between the first and the last of `count` elements.
int64_t distance(int64_t stride, int64_t count) {
  if (count == 1) return 0;
  if (stride < -kFarthest || stride > kFarthest) throw std::bad_alloc();
  const int64_t elements = checked_count(std::llabs(stride), count - 1);
  if (elements > kFarthest) throw std::bad_alloc();
  return elements;
}

// bytes; the stride of an axis with a single element
constexpr int64_t kNoSecond = int64_t{1} << 62;

}  // namespace

// Returns a span of the same bytes with as few rows as possible and the larger stride outside. Rows
// that touch or overlap are merged; the result has gaps along both axes.
Arrays::Span Arrays::Span::merged() const {
  Span span = *this;
  if (span.outer.stride < span.inner.stride) std::swap(span.outer, span.inner);
  for (int axis = 0; axis < 2 && span.inner.stride <= span.row; ++axis) {
    span.row += span.inner.stride * (span.inner.count - 1);
    span.inner = span.outer;
    span.outer = {kNoSecond, 1};
  }
  return span;
}

// Returns whether a row has bytes in [from, to), counted from `begin`. Valid only for a merged
// span: its rows are apart and each outer step follows the previous one, so that the last row that
// begins before `to` is also the last to end.
bool Arrays::Span::has(int64_t from, int64_t to) const {
  int64_t rest = to - 1;
  if (rest < 0) return false;
  rest -= std::min(rest / outer.stride, outer.count - 1) * outer.stride;
  rest -= std::min(rest / inner.stride, inner.count - 1) * inner.stride;
  return to - 1 - rest + row > from;
}

// Returns the greatest number of bytes that divides all strides; 0 for a single row.
int64_t Arrays::Span::pitch() const {
  return std::gcd(outer.count > 1 ? outer.stride : 0, inner.count > 1 ? inner.stride : 0);
}

// Returns whether a byte belongs to both spans. Arrays in different columns of a common pitch never
// overlap. For others, each row that can reach `result` is compared with it.
bool Arrays::Span::meets(const Span& result) const {
  const Span rows = merged(), places = result.merged();
  const int64_t length = places.end - places.begin;
  int64_t first = rows.begin - places.begin;
  if (const int64_t common = std::gcd(rows.pitch(), places.pitch())) {
    const int64_t column = (first % common + common) % common;
    if (column >= places.row && column + rows.row <= common) return false;
  }
  for (int64_t i = 0; i < rows.outer.count && first < length; ++i, first += rows.outer.stride) {
    // earlier rows end before `begin`
    int64_t j = std::max<int64_t>(-first, 0) / rows.inner.stride;
    for (int64_t at = first + j * rows.inner.stride; j < rows.inner.count && at < length;
         ++j, at += rows.inner.stride) {
      if (places.has(at, at + rows.row)) return true;
    }
  }
  return false;
}

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
  const auto axis = [size](int64_t stride, int64_t count, int64_t over) {
    return over ? Axis{std::llabs(stride) * size, count} : Axis{kNoSecond, 1};
  };
  const Span span = {name,
                     begin,
                     begin + (over_t + over_n + features) * size,
                     axis(t, steps, over_t),
                     axis(n, batch, over_n),
                     features * size,
                     output};
  for (int i = 0; i < count_; ++i) {
    const Span& other = spans_[i];
    if (!output && !other.output) continue;
    const bool touch = span.begin < other.end && other.begin < span.end;
    if (touch && (output ? other.meets(span) : span.meets(other))) {
      fail(BPTT_ERR_ARGUMENT, output ? name : other.name,
           std::string("memory that does not overlap '") + (output ? other.name : name) + "'",
           "overlapping memory");
    }
  }
  if (count_ == kMost) throw std::length_error("more than 36 arrays in one call");
  spans_[count_++] = span;
}

}  // namespace bptt
