#include "model/loss.h"

#include <cmath>

namespace bptt {

template <class T>
double cross_entropy_row(const Kernels<T>& kernels, T* out, int64_t n, int64_t target,
                         double factor) {
  double largest = 0, sum = 0, chosen = 0;
  kernels.softmax_row(out, n, target, factor, &largest, &sum, &chosen);
  return std::log(sum) + (largest - chosen);
}

template <class T>
double squared_error_row(T* out, const T* target, int64_t n, double factor) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double error = double(out[i]) - double(target[i]);
    sum += error * error;
    out[i] = T(2 * error * factor);
  }
  return sum;
}

template double cross_entropy_row(const Kernels<float>&, float*, int64_t, int64_t, double);
template double cross_entropy_row(const Kernels<double>&, double*, int64_t, int64_t, double);
template double squared_error_row(float*, const float*, int64_t, double);
template double squared_error_row(double*, const double*, int64_t, double);

}  // namespace bptt
