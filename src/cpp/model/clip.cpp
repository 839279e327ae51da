#include "model/clip.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <vector>

#include "kernels.h"
#include "sequence/pool.h"

namespace bptt {
namespace {

constexpr int64_t kChunk = 16384;     // elements summed at a time, whatever the number of threads
constexpr int64_t kThread = 1 << 16;  // elements that are worth a thread

// body(chunk, offset, length) for every chunk of a vector, by a team.
template <class Body>
void for_chunks(int64_t count, const Body& body) {
  const int64_t chunks = (count + kChunk - 1) / kChunk;
  run_team(count / kThread, [&](const Team& team) {
    for (int64_t i = team.begin(chunks); i < team.end(chunks); ++i) {
      body(i, i * kChunk, std::min(kChunk, count - i * kChunk));
    }
  });
}

// f(kernels, elements, length) of every chunk, in order.
template <class T, class F>
std::vector<double> of_chunks(const T* values, int64_t count, const F& f) {
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  std::vector<double> results(static_cast<size_t>((count + kChunk - 1) / kChunk));
  for_chunks(count, [&](int64_t chunk, int64_t offset, int64_t length) {
    results[static_cast<size_t>(chunk)] = f(kernels, values + offset, length);
  });
  return results;
}

double sum(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

// The sum of the squares of elements * 2^shift.
template <class T>
double shifted_squares(const Kernels<T>& kernels, const T* values, int64_t count, int shift) {
  T part[512];
  double total = 0;
  for (int64_t i = 0; i < count; i += 512) {
    const int64_t length = std::min<int64_t>(512, count - i);
    for (int64_t j = 0; j < length; ++j) part[j] = std::ldexp(values[i + j], shift);
    total += kernels.sum_squares(part, length);
  }
  return total;
}

}  // namespace

template <class T>
double gradient_norm(const T* gradient, int64_t count) {
  const double plain = sum(
      of_chunks(gradient, count, [](const Kernels<T>& kernels, const T* values, int64_t length) {
        return kernels.sum_squares(values, length);
      }));
  // Between these nothing that counts was lost to overflow or underflow.
  if (plain > 1e-280 && plain < 1e300) return std::sqrt(plain);
  double largest = 0;
  for (const double value :
       of_chunks(gradient, count, [](const Kernels<T>& kernels, const T* values, int64_t length) {
         return kernels.max_abs(values, length);
       })) {
    if (std::isnan(value)) return value;
    largest = std::max(largest, value);
  }
  if (largest == 0 || std::isinf(largest)) return largest;
  const int exponent = std::ilogb(largest);
  const double shifted = sum(
      of_chunks(gradient, count, [&](const Kernels<T>& kernels, const T* values, int64_t length) {
        return shifted_squares(kernels, values, length, -exponent);
      }));
  return std::ldexp(std::sqrt(shifted), exponent);
}

template <class T>
int64_t clip_value(T* gradient, int64_t count, double value) {
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  std::atomic<int64_t> changed{0};
  for_chunks(count, [&](int64_t, int64_t offset, int64_t length) {
    changed.fetch_add(kernels.clamp(gradient + offset, length, value), std::memory_order_relaxed);
  });
  return changed.load();
}

template <class T>
double clip_norm(T* gradient, int64_t count, double norm, double max_norm, double eps) {
  if (!(norm > max_norm) || std::isinf(norm)) return 1;
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  const double factor = max_norm / (norm + eps);
  for_chunks(count, [&](int64_t, int64_t offset, int64_t length) {
    kernels.scale(gradient + offset, length, factor);
  });
  return factor;
}

template <class T>
bool clip_tensor_norm(const Params<T>& params, T* gradient, double max_norm) {
  bool clipped = false;
  for (const Param& tensor : params.tensors()) {
    if (tensor.frozen) continue;
    T* part = gradient + tensor.offset;
    if (clip_norm(part, tensor.count, gradient_norm(part, tensor.count), max_norm, 0) != 1)
      clipped = true;
  }
  return clipped;
}

template <class T>
double angle(const T* a, double norm_a, const T* b, double norm_b, int64_t count) {
  if (!(norm_a > 0 && norm_b > 0)) return 0;
  double difference = 0, sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double u = double(a[i]) / norm_a, v = double(b[i]) / norm_b;
    difference += (u - v) * (u - v);
    sum += (u + v) * (u + v);
  }
  return 2 * std::atan2(std::sqrt(difference), std::sqrt(sum));
}

#define BPTT_INSTANTIATE(T)                                           \
  template double angle(const T*, double, const T*, double, int64_t); \
  template double gradient_norm(const T*, int64_t);                   \
  template int64_t clip_value(T*, int64_t, double);                   \
  template double clip_norm(T*, int64_t, double, double, double);     \
  template bool clip_tensor_norm(const Params<T>&, T*, double);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
