#include "model/spectrum.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "error.h"
#include "model/linalg.h"
#include "model/random.h"
#include "sequence/norms.h"
#include "sequence/pool.h"

namespace bptt {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();

// V = L Q: Q [rows, size] in place of V, with orthonormal rows; L lower triangular with L_ii >= 0. Rows
// go through Gram-Schmidt block by block, each block twice (Barlow & Smoktunowicz 2013): freed of the
// blocks before it by products, of each other one by one, and normalised; the second time what little
// the first has left is relative to rows of norm 1, however small they had become.
template <class T>
class RowFactors {
 public:
  RowFactors(const Kernels<T>& kernels, int64_t rows, int64_t size, bool keep)
      : kernels_(kernels),
        rows_(rows),
        size_(size),
        row_(padded_row<T>(size)),
        width_(2 * kernels.lanes),
        share_row_(padded_row<T>(rows)),
        transposed_(packed_size(kernels, size, rows, 1)),
        block_size_(packed_size(kernels, width_, size, 1)),
        packed_(checked_count(panel_count(kernels, rows), block_size_)),
        shares_(checked_count(width_, share_row_)),
        diagonal_(Buffer<double>::zeros(rows)) {
    if (!keep) return;
    lower_ = Buffer<double>::zeros(checked_count(rows, rows));
    for (Buffer<double>& pass : passes_) pass = Buffer<double>(checked_count(width_, rows));
  }

  const Buffer<double>& diagonal() const { return diagonal_; }
  const Buffer<double>& lower() const { return lower_; }

  void run(T* v) {
    for (int64_t first = 0; first < rows_; first += width_) {
      const int64_t last = std::min(rows_, first + width_);
      std::fill_n(diagonal_.data() + first, last - first, 1.0);
      for (int pass = 0; pass < 2; ++pass) {
        leave_blocks(v, first, last, pass);
        for (int64_t i = first; i < last; ++i) leave_block(v, first, i, pass);
      }
      if (lower_.count()) put_lower(first, last);
      pack(v, first, last);
    }
  }

 private:
  bool keeps() const { return lower_.count() > 0; }
  // Of row i of the block that begins with `first`: its shares in the rows before it, and its norm.
  double* noted(int64_t first, int64_t i, int pass) {
    return passes_[pass].data() + (i - first) * rows_;
  }

  void leave_block(T* v, int64_t first, int64_t i, int pass) {
    T* own = v + i * row_;
    for (int64_t j = first; j < i; ++j) {
      const T* other = v + j * row_;
      const double share = kernels_.dot(own, other, size_);
      kernels_.add_scaled(own, other, size_, -share);
      if (keeps()) noted(first, i, pass)[j] = share;
    }
    const double norm = row_norm(kernels_, own, size_);
    if (keeps()) noted(first, i, pass)[i] = norm;
    diagonal_[i] *= norm;
    // What the second pass takes again was rounding of the first.
    if (norm == 0 || (pass > 0 && norm < 0.5)) {
      fill(v, i);
    } else {
      normalise(own, norm);
    }
  }

  // V = L1 Q1 and Q1 = L2 Q: rows of L1 L2.
  void put_lower(int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const double* one = noted(first, i, 0);
      double* out = lower_.data() + i * rows_;
      for (int64_t j = 0; j < first; ++j) out[j] = one[j];
      for (int64_t j = first; j <= i; ++j) out[j] = 0;
      for (int64_t k = first; k <= i; ++k) {
        const double* two = noted(first, k, 1);
        for (int64_t j = 0; j <= k; ++j) out[j] += one[k] * two[j];
      }
    }
  }

  // Rows [first, last) -= (those times Q^T) Q, with Q the blocks before.
  void leave_blocks(T* v, int64_t first, int64_t last, int pass) {
    if (first == 0) return;
    ProductArgs<T> p{};
    p.a = v + first * row_;
    p.a_row = row_;
    p.segments = 1;
    p.segment_length = size_;
    p.b = transposed_.data();
    p.rows = last - first;
    p.units = rows_;
    p.groups = 1;
    p.c = shares_.data();
    p.c_row = share_row_;
    p.panel_end = first / width_;
    kernels_.product(p);
    for (int64_t i = first; i < last; ++i) {
      T* shares = shares_.data() + (i - first) * share_row_;
      for (int64_t j = 0; keeps() && j < first; ++j) noted(first, i, pass)[j] = double(shares[j]);
      kernels_.scale(shares, first, -1);
    }
    p.a_row = share_row_;
    p.segment_length = width_;
    p.units = size_;
    p.c = v + first * row_;
    p.c_row = row_;
    p.accumulate = true;
    p.panel_end = panel_count(kernels_, size_);
    for (int64_t block = 0; block < first / width_; ++block) {
      p.a = shares_.data() + block * width_;
      p.b = packed_.data() + block * block_size_;
      kernels_.product(p);
    }
  }

  void pack(const T* v, int64_t first, int64_t last) {
    if (last == rows_) return;  // no row follows
    const int64_t block = first / width_, panels = panel_count(kernels_, size_);
    kernels_.pack(PackArgs<T>{v, 1, row_, 0, rows_, 1, size_, 0, size_, block, block + 1,
                              transposed_.data()});
    kernels_.pack(PackArgs<T>{v + first * row_, row_, 1, 0, size_, 1, width_, 0, width_, 0, panels,
                              packed_.data() + block * block_size_});
  }

  void normalise(T* row, double norm) const {
    // Twice, where 1 / norm would overflow.
    const double half = std::sqrt(norm);
    kernels_.scale(row, size_, 1 / half);
    kernels_.scale(row, size_, 1 / half);
  }

  // Any direction that is left, for a row of zeros.
  void fill(T* v, int64_t i) const {
    T* own = v + i * row_;
    for (int64_t unit = 0; unit < size_; ++unit) {
      std::fill_n(own, size_, T(0));
      own[(i + unit) % size_] = 1;
      for (int pass = 0; pass < 2; ++pass) {
        for (int64_t j = 0; j < i; ++j)
          kernels_.add_scaled(own, v + j * row_, size_, -kernels_.dot(own, v + j * row_, size_));
      }
      const double norm = row_norm(kernels_, own, size_);
      if (norm < 0.5 / std::sqrt(double(size_))) continue;
      return normalise(own, norm);
    }
  }

  const Kernels<T>& kernels_;
  const int64_t rows_, size_, row_, width_, share_row_;
  Buffer<T> transposed_;  // Q^T, a panel of units per block of rows
  const int64_t block_size_;
  Buffer<T> packed_;  // Q, block by block
  Buffer<T> shares_;  // [width, rows]
  Buffer<double> diagonal_, lower_;
  Buffer<double> passes_[2];  // [width, rows]
};

// Descending; NaN, which has no place in an order, makes all of them NaN.
void sort_descending(double* values, int64_t count) {
  if (std::any_of(values, values + count, [](double value) { return std::isnan(value); })) {
    std::fill_n(values, count, std::numeric_limits<double>::quiet_NaN());
  } else {
    std::sort(values, values + count, std::greater<>());
  }
}

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// A product of lower triangular matrices, as columns of unit length and the logarithms of their norms:
// the columns are graded like the singular values, because the factorisations sort directions. (Rows
// would not do: each holds a share of the largest.)
class ScaledProduct {
 public:
  explicit ScaledProduct(int64_t n)
      : n_(n),
        columns_(Buffer<double>::zeros(checked_count(n, n))),
        logs_(Buffer<double>::zeros(n)),
        sums_(n) {
    for (int64_t i = 0; i < n; ++i) columns_[i * n + i] = 1;
  }

  // Column j becomes the sum of columns k >= j times lower[k, j], relative to the largest of these.
  void multiply(const Buffer<double>& lower) {
    for (int64_t j = 0; j < n_; ++j) {
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
        for (int64_t i = j; i < n_; ++i) sums_[i] += share * columns_[k * n_ + i];
      }
      std::copy_n(sums_.data(), n_, column(j));
      logs_[j] = largest;
      rescale(j);
    }
  }

  // One-sided Jacobi (Hestenes 1958; accurate for columns of any scale: Demmel & Veselic 1992).
  void log_singular_values(double* out) {
    for (int sweep = 0; sweep < 60; ++sweep) {
      bool turned = false;
      for (int64_t i = 0; i < n_; ++i) {
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
    const double norm = std::sqrt(dot(own, own, n_));
    for (int64_t j = 0; j < n_; ++j) own[j] /= norm;
    logs_[i] += std::log(largest) + std::log(norm);
  }

  // Makes two columns orthogonal; x the larger one, y = r times as large.
  bool turn(int64_t i, int64_t j) {
    if (logs_[i] < logs_[j]) std::swap(i, j);
    if (logs_[j] == kNothing) return false;
    double *x = column(i), *y = column(j);
    const double g = dot(x, y, n_);
    if (!(std::fabs(g) > 4e-16 * std::sqrt(double(n_)))) return false;
    const double r = std::exp(logs_[j] - logs_[i]);
    const double q = (1 - r * r) / (2 * std::fabs(g));
    const double over_r =
        (g > 0 ? -1 : 1) / (q + std::sqrt(r * r + q * q));  // tan of the angle / r
    const double t = over_r * r, c = 1 / std::sqrt(1 + t * t);
    for (int64_t k = 0; k < n_; ++k) {
      const double a = x[k], b = y[k];
      x[k] = c * (a - t * r * b);
      y[k] = c * (over_r * a + b);
    }
    rescale(i);
    rescale(j);
    return true;
  }

  const int64_t n_;
  Buffer<double> columns_, logs_, sums_;
};

// The rows that a walk begins with: the caller's, or directions drawn at random, always the same, so
// that no symmetry of the net can hide one.
template <class T>
Buffer<T> first_rows(const T* start, int64_t count, int64_t size) {
  const int64_t row = padded_row<T>(size);
  Buffer<T> v = Buffer<T>::zeros(checked_count(count, row));
  if (start) {
    for (int64_t i = 0; i < count; ++i) std::copy_n(start + i * size, size, v.data() + i * row);
    return v;
  }
  Buffer<double> normals(checked_count(size, count));
  RandomStream random(0, "spectrum");
  for (int64_t i = 0; i < size * count; ++i) normals[i] = random.normal();
  orthogonal_factor(normals, size, count);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < size; ++j) v[i * row + j] = T(normals[j * count + i]);
  }
  return v;
}

}  // namespace

template <class T>
void spectrum(StateRows<T>& rows, const SpectrumCall<T>& call) {
  const int64_t size = rows.size(), row = padded_row<T>(size), count = call.count;
  Buffer<T> v = first_rows<T>(call.start, count, size);
  RowFactors<T> factors(rows.kernels(), count, size, call.log_singular_values != nullptr);
  std::unique_ptr<ScaledProduct> product;
  if (call.log_singular_values) product = std::make_unique<ScaledProduct>(count);
  Buffer<double> sums = Buffer<double>::zeros(count);
  const int64_t counted = call.last - call.first - call.discard;
  rows.put(v.data(), row);
  int64_t since = 0, done = 0;
  bool lost = false;  // to overflow or NaN
  for (int64_t s = call.last; s-- > call.first;) {
    rows.step(s);
    ++done;
    if (++since < call.interval && s > call.first && done != call.discard) continue;
    since = 0;
    if (cancelled()) throw Error(BPTT_ERR_CANCELLED, "", "", "");
    rows.get(v.data(), row);
    factors.run(v.data());
    rows.put(v.data(), row);
    const double* norms = factors.diagonal().data();
    const bool finite =
        std::all_of(norms, norms + count, [](double norm) { return std::isfinite(norm); });
    if (product && finite) product->multiply(factors.lower());
    lost |= !finite;
    for (int64_t i = 0; done > call.discard && i < count; ++i)
      sums[i] += std::log(factors.diagonal()[i]);
  }
  if (call.exponents) {
    for (int64_t i = 0; i < count; ++i) call.exponents[i] = sums[i] / double(counted);
    sort_descending(call.exponents, count);
  }
  if (!product) return;
  if (lost) {
    std::fill_n(call.log_singular_values, size, std::numeric_limits<double>::quiet_NaN());
  } else {
    product->log_singular_values(call.log_singular_values);
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
