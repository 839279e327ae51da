// spectrum.cpp: products of step Jacobians in factored form, and their singular values.
#include "diagnostics/spectrum.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>

#include "base/random.h"
#include "diagnostics/row_factors.h"

namespace bptt {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// Sorts in descending order. If a value is NaN, which cannot be ordered, all become NaN.
void sort_descending(double* values, int64_t count) {
  if (std::any_of(values, values + count, [](double value) { return std::isnan(value); })) {
    std::fill_n(values, count, std::numeric_limits<double>::quiet_NaN());
  } else {
    std::sort(values, values + count, std::greater<>());
  }
}

// A product of lower triangular matrices, stored as columns of unit length and the logarithms of
// their norms. The columns are graded like the singular values, because the factorisations sort the
// directions. (Rows would not be graded: each contains a share of the largest value.)
class ScaledProduct {
 public:
  ScaledProduct(const Kernels<double>& kernels, int64_t n)
      : kernels_(kernels),
        n_(n),
        columns_(Buffer<double>::zeros(checked_count(n, n))),
        logs_(Buffer<double>::zeros(n)),
        sums_(n) {
    for (int64_t i = 0; i < n; ++i) columns_[i * n + i] = 1;
  }

  void take(const ScaledProduct& other) {
    std::copy_n(other.columns_.data(), columns_.count(), columns_.data());
    std::copy_n(other.logs_.data(), n_, logs_.data());
  }

  // Multiplies by `lower`: column j becomes the sum over k >= j of column k times lower[k, j].
  // Terms are scaled by the largest of them.
  void multiply(const Buffer<double>& lower, Pace& pace) {
    for (int64_t j = 0; j < n_; ++j) {
      pace.did(double(n_ - j) * double(n_ - j + 100));
      double largest = kNothing;
      const auto log_share = [&](int64_t k) {
        const double share = lower[k * n_ + j];
        return share == 0 ? kNothing : logs_[k] + std::log(std::fabs(share));
      };
      for (int64_t k = j; k < n_; ++k) largest = std::max(largest, log_share(k));
      std::fill_n(sums_.data(), n_, 0.0);
      for (int64_t k = j; k < n_ && largest > kNothing; ++k) {
        const double factor = std::exp(log_share(k) - largest);
        if (factor == 0) continue;
        const double share = lower[k * n_ + j] < 0 ? -factor : factor;
        kernels_.add_scaled(sums_.data() + j, column(k) + j, n_ - j, share);
      }
      std::copy_n(sums_.data(), n_, column(j));
      logs_[j] = largest;
      rescale(j);
    }
  }

  // One-sided Jacobi rotations (Hestenes 1958), accurate for columns of any scale (Demmel & Veselic
  // 1992).
  void log_singular_values(double* out, Pace& pace) {
    for (int sweep = 0; sweep < 60; ++sweep) {
      bool turned = false;
      for (int64_t i = 0; i < n_; ++i) {
        rescale(i);  // corrects the rounding errors of the last sweep
        pace.did(8.0 * double(n_ - i) * double(n_));
        for (int64_t j = i + 1; j < n_; ++j) turned |= turn(i, j);
      }
      if (!turned) break;
    }
    std::copy_n(logs_.data(), n_, out);
    sort_descending(out, n_);
  }

 private:
  double* column(int64_t j) { return columns_.data() + j * n_; }

  void rescale(int64_t i) {
    double* own = column(i);
    double largest = 0;
    for (int64_t j = 0; j < n_; ++j) largest = std::max(largest, std::fabs(own[j]));
    if (largest == 0 || logs_[i] == kNothing) {
      std::fill_n(own, n_, 0.0);
      logs_[i] = kNothing;
      return;
    }
    for (int64_t j = 0; j < n_; ++j) own[j] /= largest;
    const double norm = std::sqrt(kernels_.dot(own, own, n_));
    for (int64_t j = 0; j < n_; ++j) own[j] /= norm;
    logs_[i] += std::log(largest) + std::log(norm);
  }

  // Makes two columns orthogonal: x, the larger one, and y, whose length is r times as large. Both
  // keep unit length by a formula from their inner product; if little of y remains, its length is
  // measured.
  bool turn(int64_t i, int64_t j) {
    if (logs_[i] < logs_[j]) std::swap(i, j);
    if (logs_[j] == kNothing) return false;
    double *x = column(i), *y = column(j);
    const double g = kernels_.dot(x, y, n_);
    if (!(std::fabs(g) > 4e-16 * std::sqrt(double(n_)))) return false;
    const double r = std::exp(logs_[j] - logs_[i]);
    const double q = (1 - r * r) / (2 * std::fabs(g));
    const double over_r = (g > 0 ? -1 : 1) / (q + std::sqrt(r * r + q * q));  // tan(angle) / r
    const double t = over_r * r, c = 1 / std::sqrt(1 + t * t);
    const double along_x = c * std::sqrt(1 + t * r * (t * r - 2 * g));
    const double squares = over_r * (over_r + 2 * g) + 1;
    const bool little = squares < 0.01;
    const double along_y = little ? 1 : c * std::sqrt(squares);
    std::copy_n(x, n_, sums_.data());
    kernels_.scale(x, n_, c / along_x);
    kernels_.add_scaled(x, y, n_, -c * t * r / along_x);
    kernels_.scale(y, n_, c / along_y);
    kernels_.add_scaled(y, sums_.data(), n_, c * over_r / along_y);
    logs_[i] += std::log(along_x);
    logs_[j] += std::log(along_y);
    if (little) rescale(j);
    return true;
  }

  const Kernels<double>& kernels_;
  const int64_t n_;
  Buffer<double> columns_, logs_, sums_;
};

// Returns the first rows of a walk: the caller's, or random ones, the same on every call. Random
// rows are not hidden from any direction by a symmetry of the network.
template <class T>
Buffer<T> first_rows(const T* start, int64_t count, int64_t size, Pace& pace) {
  const int64_t row = padded_row<T>(size);
  Buffer<T> v = Buffer<T>::zeros(checked_count(count, row));
  RandomStream random(0, "spectrum");
  for (int64_t i = 0; i < count; ++i) {
    pace.did(20.0 * double(size));
    for (int64_t j = 0; j < size; ++j)
      v[i * row + j] = start ? start[i * size + j] : T(random.normal());
  }
  return v;
}

// Returns whether rows can take another step without leaving the range of the dtype.
template <class T>
bool within_range(StateRows<T>& rows) {
  const double far = sizeof(T) == 4 ? 1e24 : 1e200;
  return rows.within(1 / far, far);
}

// Returns whether the weakest row still has accurate digits relative to the strongest.
template <class T>
bool tells_apart(const Buffer<double>& norms) {
  constexpr double kSpread = 1e-3 / double(std::numeric_limits<T>::epsilon());
  const auto [least, most] = std::minmax_element(norms.data(), norms.data() + norms.count());
  return *most <= kSpread * *least && *least > 0 && std::isfinite(*most);
}

}  // namespace

template <class T>
void spectrum(StateRows<T>& rows, const SpectrumCall<T>& call) {
  Pace pace;
  const int64_t size = rows.size(), row = padded_row<T>(size), count = call.count;
  const bool with_product = call.log_singular_values || call.log_extremes;
  Buffer<T> v = first_rows<T>(call.start, count, size, pace);
  RowFactors<T> factors(rows.kernels(), count, size, with_product);
  factors.run(v.data(), pace);
  std::unique_ptr<ScaledProduct> product, copy;
  const auto new_product = [&] {
    return std::make_unique<ScaledProduct>(kernels_of<double>(*active_kernels()), count);
  };
  if (with_product) product = new_product();
  if (call.log_extremes) copy = new_product();
  Buffer<double> values(call.log_extremes ? count : 0);
  Buffer<double> sums = Buffer<double>::zeros(count);
  const int64_t counted = call.last - call.first - call.discard;
  Buffer<T> kept(call.interval > 1 ? v.count() : 0);
  int64_t reach = call.interval, done = 0;
  bool lost = false;  // by overflow or NaN
  while (done < call.last - call.first) {
    const int64_t behind = call.last - done;  // the rows are gradients at the step before this one
    int64_t steps = std::min(reach, behind - call.first), walked = 0;
    if (done < call.discard) steps = std::min(steps, call.discard - done);
    if (steps > 1) std::copy_n(v.data(), v.count(), kept.data());
    rows.put(v.data(), row);
    bool sound = true;
    while (sound && walked < steps) {
      rows.step(behind - ++walked);
      pace.did(2.0 * double(count) * double(size) * double(size));
      sound = steps == 1 || within_range(rows);
    }
    if (sound || walked == 1) {
      rows.get(v.data(), row);
      factors.run(v.data(), pace);
      if (walked > 1 && !tells_apart<T>(factors.diagonal())) {
        sound = false;
        walked = walked / 2 + 1;
      }
    }
    if (!sound && walked > 1) {
      reach = walked - 1;
      std::copy_n(kept.data(), v.count(), v.data());
      continue;
    }
    done += walked;
    const double* norms = factors.diagonal().data();
    lost |= !std::all_of(norms, norms + count, [](double norm) { return std::isfinite(norm); });
    if (product && !lost) product->multiply(factors.lower(), pace);
    if (call.log_extremes) {
      double* extremes = call.log_extremes + 2 * (done - 1);
      if (!lost) {
        copy->take(*product);
        copy->log_singular_values(values.data(), pace);
      }
      extremes[0] = lost ? std::numeric_limits<double>::quiet_NaN() : values[0];
      extremes[1] = lost ? extremes[0] : values[count - 1];
    }
    for (int64_t i = 0; done > call.discard && i < count; ++i) sums[i] += std::log(norms[i]);
  }
  if (call.exponents) {
    for (int64_t i = 0; i < count; ++i) call.exponents[i] = sums[i] / double(counted);
    sort_descending(call.exponents, count);
  }
  if (!call.log_singular_values) return;
  if (lost) {
    std::fill_n(call.log_singular_values, size, std::numeric_limits<double>::quiet_NaN());
  } else {
    product->log_singular_values(call.log_singular_values, pace);
  }
}

template <class T>
void jacobian(StateRows<T>& rows, int64_t step, T* out) {
  const int64_t size = rows.size();
  std::fill_n(out, size * size, T(0));
  for (int64_t i = 0; i < size; ++i) out[i * size + i] = 1;
  rows.put(out, size);
  rows.step(step);
  rows.get(out, size);
}

#define BPTT_INSTANTIATE(T)                                      \
  template void spectrum(StateRows<T>&, const SpectrumCall<T>&); \
  template void jacobian(StateRows<T>&, int64_t, T*);
BPTT_INSTANTIATE(float)
BPTT_INSTANTIATE(double)
#undef BPTT_INSTANTIATE

}  // namespace bptt
