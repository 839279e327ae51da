// linalg.cpp: Householder reflections of a matrix, in panels of columns.
#include "base/linalg.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/pool.h"
#include "base/vectors.h"

namespace bptt {
namespace {

constexpr int64_t kPanel = 16;          // reflections applied to a column while it is in cache
constexpr int64_t kTogether = 1 << 26;  // operations between two checks for cancellation

// The n x m transpose of the m x n matrix A.
Buffer<double> transposed(const Buffer<double>& a, int64_t m, int64_t n) {
  Buffer<double> result(checked_count(m, n));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) result[j * m + i] = a[i * n + j];
  }
  return result;
}

// The reflections I - beta_k v_k v_k^T. v_k is zero before element k; the rest is in row k of
// `vectors`, from element k to the end at m.
struct Reflections {
  const double* vectors;
  const double* betas;
  int64_t m;

  void apply(int64_t k, double* column) const {
    const double* v = vectors + k * m + k;
    add_multiple(column + k, -betas[k] * dot(v, column + k, m - k), v, m - k);
  }
};

// Calls body(first, last) on ranges of `count` columns, shared by threads; body applies the
// reflections of a panel to each column. Checks for cancellation after every few columns.
template <class Body>
void share_columns(int64_t count, int64_t m, Pace& pace, const Body& body) {
  const int64_t work = 4 * kPanel * m, together = std::max(int64_t(1), kTogether / work);
  for (int64_t first = 0; first < count; first += together) {
    const int64_t now = std::min(together, count - first);
    pace.did(double(work) * double(now));
    run_team(now * work >> 20,
             [&](const Team& team) { body(first + team.begin(now), first + team.end(now)); });
  }
}

}  // namespace

// The columns of A are stored as rows, so that a reflection works on contiguous elements. Each
// column is independent of the others, so neither panels nor threads change a bit.
void orthogonal_factor(Buffer<double>& a, int64_t m, int64_t n, Pace& pace) {
  a = transposed(a, m, n);
  std::vector<double> betas(static_cast<size_t>(n)), signs(static_cast<size_t>(n));
  const Reflections reflections{a.data(), betas.data(), m};
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    const int64_t end = std::min(begin + kPanel, n);
    for (int64_t k = begin; k < end; ++k) {
      double* column = a.data() + k * m;
      pace.did(4.0 * double(k - begin + 1) * double(m));
      for (int64_t j = begin; j < k; ++j) reflections.apply(j, column);
      const double norm = std::sqrt(dot(column + k, column + k, m - k));
      const double pivot = column[k], reach = norm + std::fabs(pivot);
      signs[static_cast<size_t>(k)] = pivot < 0 ? 1 : -1;  // of R[k, k] = -sign(pivot) norm
      betas[static_cast<size_t>(k)] = norm == 0 ? 0 : 1 / (norm * reach);
      column[k] = pivot < 0 ? -reach : reach;
    }
    share_columns(n - end, m, pace, [&](int64_t first, int64_t last) {
      for (int64_t i = end + first; i < end + last; ++i) {
        for (int64_t k = begin; k < end; ++k) reflections.apply(k, a.data() + i * m);
      }
    });
  }
  // Compute column j of Q as H_0 H_1 ... H_j e_j.
  Buffer<double> q = Buffer<double>::zeros(checked_count(n, m));
  for (int64_t j = 0; j < n; ++j) q[j * m + j] = signs[static_cast<size_t>(j)];
  for (int64_t begin = (n - 1) / kPanel * kPanel; begin >= 0; begin -= kPanel) {
    share_columns(n - begin, m, pace, [&](int64_t first, int64_t last) {
      for (int64_t j = begin + first; j < begin + last; ++j) {
        for (int64_t k = std::min(begin + kPanel - 1, j); k >= begin; --k)
          reflections.apply(k, q.data() + j * m);
      }
    });
  }
  a = transposed(q, n, m);
}

}  // namespace bptt
