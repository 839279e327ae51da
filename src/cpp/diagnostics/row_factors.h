// row_factors.h: orthonormalisation of the rows of a matrix, with the triangular factor.
#pragma once

#include <algorithm>
#include <cmath>

#include "base/pace.h"
#include "sequence/norms.h"
#include "sequence/products.h"
#include "sequence/stack.h"

namespace bptt {

// The factorisation V = L Q: Q [rows, size] replaces V and has orthonormal rows; L is lower
// triangular with L_ii >= 0. Gram-Schmidt processes the rows in blocks, each block twice (Barlow &
// Smoktunowicz 2013): it removes the components along the earlier blocks by matrix products, those
// along the other rows of the block one by one, and normalises the rows. In the second pass the
// rows have norm 1, so that the components left by the first pass are small relative to them, even
// for rows that had become very small.
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

  void run(T* v, Pace& pace) {
    covered_ = 0;
    for (int64_t first = 0; first < rows_; first += width_) {
      const int64_t last = std::min(rows_, first + width_);
      pace.did(4.0 * double(last) * double(width_) * double(size_));
      std::fill_n(diagonal_.data() + first, last - first, 1.0);
      for (int pass = 0; pass < 2; ++pass) {
        leave_blocks(v, first, last, pass);
        for (int64_t i = first; i < last; ++i) leave_block(v, first, i, pass, pace);
      }
      if (lower_.count()) put_lower(first, last);
      pack(v, first, last);
    }
  }

 private:
  bool keeps() const { return lower_.count() > 0; }
  // Returns the shares of row i in the rows before it, and its norm, in the block that begins with
  // `first`.
  double* noted(int64_t first, int64_t i, int pass) {
    return passes_[pass].data() + (i - first) * rows_;
  }

  void leave_block(T* v, int64_t first, int64_t i, int pass, Pace& pace) {
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
    // A row that the second pass shrinks this much consisted of rounding errors of the first pass.
    if (norm == 0 || (pass > 0 && norm < 0.5)) {
      fill(v, first, i);
      pace.did(8.0 * double(i) * double(size_));
    } else {
      normalise(own, norm);
    }
  }

  // Writes the block's rows of L = L1 L2, where V = L1 Q1 and Q1 = L2 Q.
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

  // Subtracts from rows [first, last) their components along the earlier blocks: V -= (V Q^T) Q.
  void leave_blocks(T* v, int64_t first, int64_t last, int pass) {
    if (first == 0) return;
    ProductArgs<T> p =
        product_args<T>(kernels_, last - first, size_, rows_, {v + first * row_, row_},
                        transposed_.data(), {shares_.data(), share_row_}, nullptr);
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
    const int64_t block = first / width_;
    PackArgs<T> transposed = packing(kernels_, {v, 1}, size_, rows_, transposed_.data());
    transposed.unit_stride = row_;
    transposed.panel_begin = block;
    transposed.panel_end = block + 1;
    kernels_.pack(transposed);
    kernels_.pack(packing(kernels_, {v + first * row_, row_}, width_, size_,
                          packed_.data() + block * block_size_));
  }

  void normalise(T* row, double norm) const {
    // Scale in two steps: 1 / norm can overflow.
    const double half = std::sqrt(norm);
    kernels_.scale(row, size_, 1 / half);
    kernels_.scale(row, size_, 1 / half);
  }

  // Replaces a row of zeros with a direction orthogonal to the rows before it, starting from the
  // unit vector that these cover least. A part of it always remains: the shares of n rows in all
  // `size` units add up to n < size.
  void fill(T* v, int64_t first, int64_t i) {
    if (!left_.count()) left_ = Buffer<double>(2 * size_);
    if (covered_ == 0) std::fill_n(left_.data(), size_, 1.0);
    for (; covered_ < first; ++covered_) cover(left_.data(), v + covered_ * row_);
    double* now = left_.data() + size_;
    std::copy_n(left_.data(), size_, now);
    for (int64_t j = first; j < i; ++j) cover(now, v + j * row_);
    T* own = v + i * row_;
    std::fill_n(own, size_, T(0));
    own[std::max_element(now, now + size_) - now] = 1;
    for (int pass = 0; pass < 2; ++pass) {
      for (int64_t j = 0; j < i; ++j)
        kernels_.add_scaled(own, v + j * row_, size_, -kernels_.dot(own, v + j * row_, size_));
      normalise(own, row_norm(kernels_, own, size_));
    }
  }
  void cover(double* left, const T* row) const {
    for (int64_t u = 0; u < size_; ++u) left[u] -= double(row[u]) * double(row[u]);
  }

  const Kernels<T>& kernels_;
  const int64_t rows_, size_, row_, width_, share_row_;
  Buffer<T> transposed_;  // Q^T, one panel of units per block of rows
  const int64_t block_size_;
  Buffer<T> packed_;  // Q, block by block
  Buffer<T> shares_;  // [width, rows]
  Buffer<double> diagonal_, lower_;
  Buffer<double> passes_[2];  // [width, rows]
  // [2, size]: the part of each unit vector that no row covers; a row of scratch
  Buffer<double> left_;
  int64_t covered_ = 0;  // rows of blocks that have been subtracted from left_
};

}  // namespace bptt
