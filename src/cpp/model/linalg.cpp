#include "model/linalg.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "sequence/pool.h"

namespace bptt {
namespace {

using Lanes = double __attribute__((vector_size(64)));
constexpr int64_t kLanes = 8;
constexpr int64_t kPanel = 16;  // reflections applied to a column while it is in cache

double dot(const double* a, const double* b, int64_t n) {
  Lanes sum{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes x, y;
    std::memcpy(&x, a + i, sizeof x);
    std::memcpy(&y, b + i, sizeof y);
    sum += x * y;
  }
  double rest = 0;
  for (; i < n; ++i) rest += a[i] * b[i];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7])) + rest;
}

// a += factor * b
void add_multiple(double* a, double factor, const double* b, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes x, y;
    std::memcpy(&x, a + i, sizeof x);
    std::memcpy(&y, b + i, sizeof y);
    x += factor * y;
    std::memcpy(a + i, &x, sizeof x);
  }
  for (; i < n; ++i) a[i] += factor * b[i];
}

void transpose(double* a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < i; ++j) std::swap(a[i * n + j], a[j * n + i]);
  }
}

// The reflections I - beta_k v_k v_k^T; v_k is zero before k, and lies in row k of `vectors` from
// there on.
struct Reflections {
  const double* vectors;
  const double* betas;
  int64_t n;

  void apply(int64_t k, double* column) const {
    const double* v = vectors + k * n + k;
    add_multiple(column + k, -betas[k] * dot(v, column + k, n - k), v, n - k);
  }
};

int64_t threads_for(int64_t columns, int64_t n) { return columns * n * kPanel >> 18; }

}  // namespace

// The columns of A are the rows of memory, so that a reflection works along contiguous elements;
// each column is independent of the others, so that neither panels nor threads change a bit.
void orthogonal_factor(Buffer<double>& a, int64_t n) {
  transpose(a.data(), n);
  std::vector<double> betas(static_cast<size_t>(n)), signs(static_cast<size_t>(n));
  const Reflections reflections{a.data(), betas.data(), n};
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    const int64_t end = std::min(begin + kPanel, n);
    for (int64_t k = begin; k < end; ++k) {
      double* column = a.data() + k * n;
      for (int64_t j = begin; j < k; ++j) reflections.apply(j, column);
      const double norm = std::sqrt(dot(column + k, column + k, n - k));
      const double pivot = column[k], reach = norm + std::fabs(pivot);
      signs[static_cast<size_t>(k)] = pivot < 0 ? 1 : -1;  // of R[k, k] = -sign(pivot) norm
      betas[static_cast<size_t>(k)] = norm == 0 ? 0 : 1 / (norm * reach);
      column[k] = pivot < 0 ? -reach : reach;
    }
    run_team(threads_for(n - end, n), [&](const Team& team) {
      for (int64_t i = end + team.begin(n - end); i < end + team.end(n - end); ++i) {
        for (int64_t k = begin; k < end; ++k) reflections.apply(k, a.data() + i * n);
      }
    });
  }
  // Column j of Q is H_0 H_1 ... H_j e_j.
  Buffer<double> q = Buffer<double>::zeros(checked_count(n, n));
  for (int64_t j = 0; j < n; ++j) q[j * n + j] = signs[static_cast<size_t>(j)];
  for (int64_t begin = (n - 1) / kPanel * kPanel; begin >= 0; begin -= kPanel) {
    run_team(threads_for(n - begin, n), [&](const Team& team) {
      for (int64_t j = begin + team.begin(n - begin); j < begin + team.end(n - begin); ++j) {
        for (int64_t k = std::min(begin + kPanel - 1, j); k >= begin; --k)
          reflections.apply(k, q.data() + j * n);
      }
    });
  }
  transpose(q.data(), n);
  a = std::move(q);
}

}  // namespace bptt
