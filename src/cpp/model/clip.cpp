// clip.cpp: gradient norms, and clipping by value, by tensor and by global norm.
#include "model/clip.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "kernels/kernels.h"
#include "model/chunks.h"
#include "sequence/norms.h"

namespace bptt {
namespace {

// Returns the sum of f(kernels, elements, length) of all chunks.
template <class T, class F>
double sum_over(const T* values, int64_t count, const F& f) {
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  return sum_of_chunks(
      count, [&](int64_t offset, int64_t length) { return f(kernels, values + offset, length); });
}

}  // namespace

template <class T>
double gradient_largest(const T* gradient, int64_t count) {
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  double largest = 0;
  for (const double value : of_chunks(count, [&](int64_t offset, int64_t length) {
         return kernels.max_abs(gradient + offset, length);
       })) {
    if (std::isnan(value)) return value;
    largest = std::max(largest, value);
  }
  return largest;
}

template <class T>
Norm gradient_norm(const T* gradient, int64_t count) {
  const double plain =
      sum_over(gradient, count, [](const Kernels<T>& kernels, const T* values, int64_t length) {
        return kernels.sum_squares(values, length);
      });
  // Within this range no term that matters overflowed or underflowed.
  if (plain > 1e-280 && plain < 1e300) return {std::sqrt(plain), 0};
  const double largest = gradient_largest(gradient, count);
  if (largest == 0 || !std::isfinite(largest)) return {largest, 0};
  const int exponent = std::ilogb(largest);
  const double shifted =
      sum_over(gradient, count, [&](const Kernels<T>& kernels, const T* values, int64_t length) {
        return shifted_squares(kernels, values, length, -exponent);
      });
  return {std::sqrt(shifted), exponent};
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
void rescale(T* gradient, int64_t count, double factor) {
  const Kernels<T>& kernels = kernels_of<T>(*active_kernels());
  for_chunks(count, [&](int64_t, int64_t offset, int64_t length) {
    kernels.scale(gradient + offset, length, factor);
  });
}

template <class T>
bool clip_norm(T* gradient, int64_t count, const Norm& norm, double max_norm, double eps) {
  if (!norm.finite()) return false;
  const Factor factor = factor_to(max_norm, norm, eps);
  if (factor.none()) return false;
  if (factor.first != 1) rescale(gradient, count, factor.first);
  rescale(gradient, count, factor.second);
  return true;
}

template <class T>
bool clip_tensor_norm(const Params<T>& params, T* gradient, double max_norm) {
  bool clipped = false;
  for (const Param& tensor : params.tensors()) {
    if (tensor.frozen) continue;
    T* part = gradient + tensor.offset;
    if (clip_norm(part, tensor.count, gradient_norm(part, tensor.count), max_norm, 0))
      clipped = true;
  }
  return clipped;
}

template <class T>
double angle(const T* a, const Norm& norm_a, const T* b, const Norm& norm_b, int64_t count) {
  if (!(norm_a.fraction > 0 && norm_b.fraction > 0)) return 0;
  // Differences and sums of the two vectors at length 1, squared and summed in four chains. An
  // element is divided by the norm in two factors if float64 cannot represent the norm.
  const double factor_a = 1 / norm_a.value(), factor_b = 1 / norm_b.value();
  const bool plain = std::isnormal(factor_a) && std::isnormal(factor_b);
  const auto unit = [plain](T element, double factor, const Norm& norm) {
    return plain ? double(element) * factor
                 : std::ldexp(double(element), -norm.exponent) / norm.fraction;
  };
  double differences[4] = {}, sums[4] = {};
  for (int64_t i = 0; i < count; ++i) {
    const double u = unit(a[i], factor_a, norm_a), v = unit(b[i], factor_b, norm_b);
    differences[i % 4] += (u - v) * (u - v);
    sums[i % 4] += (u + v) * (u + v);
  }
  const auto total = [](const double (&of)[4]) { return (of[0] + of[1]) + (of[2] + of[3]); };
  const double difference = total(differences), sum = total(sums);
  return 2 * std::atan2(std::sqrt(difference), std::sqrt(sum));
}

#define BPTT_INSTANTIATE(T)                                                     \
  template double angle(const T*, const Norm&, const T*, const Norm&, int64_t); \
  template double gradient_largest(const T*, int64_t);                          \
  template Norm gradient_norm(const T*, int64_t);                               \
  template int64_t clip_value(T*, int64_t, double);                             \
  template void rescale(T*, int64_t, double);                                   \
  template bool clip_norm(T*, int64_t, const Norm&, double, double);            \
  template bool clip_tensor_norm(const Params<T>&, T*, double);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
