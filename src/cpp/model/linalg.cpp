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

// a += factors[0] b[0] + ... + factors[3] b[3], rows of b n apart
void add_four_multiples(double* a, const double* factors, const double* b, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes sum, row;
    std::memcpy(&sum, a + i, sizeof sum);
    for (int64_t k = 0; k < 4; ++k) {
      std::memcpy(&row, b + k * n + i, sizeof row);
      sum += factors[k] * row;
    }
    std::memcpy(a + i, &sum, sizeof sum);
  }
  for (; i < n; ++i) {
    for (int64_t k = 0; k < 4; ++k) a[i] += factors[k] * b[k * n + i];
  }
}

// The n x m transpose of the m x n matrix A.
Buffer<double> transposed(const Buffer<double>& a, int64_t m, int64_t n) {
  Buffer<double> result(checked_count(m, n));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) result[j * m + i] = a[i * n + j];
  }
  return result;
}

// The reflections I - beta_k v_k v_k^T; v_k is zero before k, and lies in row k of `vectors` from
// there on to its end at m.
struct Reflections {
  const double* vectors;
  const double* betas;
  int64_t m;

  void apply(int64_t k, double* column) const {
    const double* v = vectors + k * m + k;
    add_multiple(column + k, -betas[k] * dot(v, column + k, m - k), v, m - k);
  }
};

int64_t threads_for(int64_t columns, int64_t m) { return columns * m * kPanel >> 18; }

// square = a a, n x n. Each element is summed by one thread in one order.
void multiply_by_itself(const Buffer<double>& a, int64_t n, Buffer<double>& square) {
  run_team(n * n * n >> 20, [&](const Team& team) {
    for (int64_t i = team.begin(n); i < team.end(n); ++i) {
      double* row = square.data() + i * n;
      std::fill_n(row, n, 0.0);
      int64_t k = 0;
      for (; k + 4 <= n; k += 4) add_four_multiples(row, &a[i * n + k], &a[k * n], n);
      for (; k < n; ++k) add_multiple(row, a[i * n + k], &a[k * n], n);
    }
  });
}

// Divides A by its Frobenius norm, which it returns; 0 leaves A alone.
double normalise(Buffer<double>& a) {
  double largest = 0;
  for (int64_t i = 0; i < a.count(); ++i) largest = std::max(largest, std::fabs(a[i]));
  if (largest == 0) return 0;
  for (int64_t i = 0; i < a.count(); ++i) a[i] /= largest;
  const double norm = std::sqrt(dot(a.data(), a.data(), a.count()));
  for (int64_t i = 0; i < a.count(); ++i) a[i] /= norm;
  return largest * norm;
}

// The larger |eigenvalue| of the 2 x 2 matrix [a b; c d].
double spectral_radius_2x2(double a, double b, double c, double d) {
  const double mean = (a + d) / 2, half = (a - d) / 2, discriminant = half * half + b * c;
  if (discriminant >= 0) return std::fabs(mean) + std::sqrt(discriminant);
  return std::sqrt(mean * mean - discriminant);
}

// The spectral radius of A from a high power B of it, if B has numerically one or two dimensions
// left: those of the dominant eigenvalues, a pair of conjugates or of +-lambda among them. Else -1.
double radius_from_power(const Buffer<double>& a, const Buffer<double>& b, int64_t n) {
  constexpr double kNothing = 1e-11;
  std::vector<double> q[2], image[2];
  Buffer<double> rest = transposed(b, n, n);  // columns of B, without what q spans
  int64_t found = 0;
  for (; found < 2; ++found) {
    int64_t longest = 0;
    double most = 0;
    for (int64_t j = 0; j < n; ++j) {
      const double square = dot(rest.data() + j * n, rest.data() + j * n, n);
      if (square > most) most = square, longest = j;
    }
    if (most <= kNothing * kNothing) break;
    const double* column = rest.data() + longest * n;
    std::vector<double>& axis = q[found];
    axis.assign(column, column + n);
    for (double& value : axis) value /= std::sqrt(most);
    if (found == 1) add_multiple(axis.data(), -dot(q[0].data(), axis.data(), n), q[0].data(), n);
    for (int64_t j = 0; j < n; ++j) {
      double* other = rest.data() + j * n;
      add_multiple(other, -dot(axis.data(), other, n), axis.data(), n);
    }
    image[found].resize(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i)
      image[found][static_cast<size_t>(i)] = dot(a.data() + i * n, axis.data(), n);
  }
  double left = 0;
  for (int64_t i = 0; i < rest.count(); ++i) left = std::max(left, std::fabs(rest[i]));
  if (left > kNothing || found == 0) return -1;
  double c[2][2] = {}, size = 0;
  for (int64_t i = 0; i < found; ++i) {
    for (int64_t j = 0; j < found; ++j) c[i][j] = dot(q[i].data(), image[j].data(), n);
  }
  // A q = q C has to hold: q spans an invariant subspace.
  double wrong = 0;
  for (int64_t j = 0; j < found; ++j) {
    size += dot(image[j].data(), image[j].data(), n);
    for (int64_t i = 0; i < found; ++i) add_multiple(image[j].data(), -c[i][j], q[i].data(), n);
    wrong += dot(image[j].data(), image[j].data(), n);
  }
  if (wrong > 1e-20 * size) return -1;
  return spectral_radius_2x2(c[0][0], c[0][1], c[1][0], c[1][1]);
}

}  // namespace

// The columns of A are the rows of memory, so that a reflection works along contiguous elements;
// each column is independent of the others, so that neither panels nor threads change a bit.
void orthogonal_factor(Buffer<double>& a, int64_t m, int64_t n) {
  a = transposed(a, m, n);
  std::vector<double> betas(static_cast<size_t>(n)), signs(static_cast<size_t>(n));
  const Reflections reflections{a.data(), betas.data(), m};
  for (int64_t begin = 0; begin < n; begin += kPanel) {
    const int64_t end = std::min(begin + kPanel, n);
    for (int64_t k = begin; k < end; ++k) {
      double* column = a.data() + k * m;
      for (int64_t j = begin; j < k; ++j) reflections.apply(j, column);
      const double norm = std::sqrt(dot(column + k, column + k, m - k));
      const double pivot = column[k], reach = norm + std::fabs(pivot);
      signs[static_cast<size_t>(k)] = pivot < 0 ? 1 : -1;  // of R[k, k] = -sign(pivot) norm
      betas[static_cast<size_t>(k)] = norm == 0 ? 0 : 1 / (norm * reach);
      column[k] = pivot < 0 ? -reach : reach;
    }
    run_team(threads_for(n - end, m), [&](const Team& team) {
      for (int64_t i = end + team.begin(n - end); i < end + team.end(n - end); ++i) {
        for (int64_t k = begin; k < end; ++k) reflections.apply(k, a.data() + i * m);
      }
    });
  }
  // Column j of Q is H_0 H_1 ... H_j e_j.
  Buffer<double> q = Buffer<double>::zeros(checked_count(n, m));
  for (int64_t j = 0; j < n; ++j) q[j * m + j] = signs[static_cast<size_t>(j)];
  for (int64_t begin = (n - 1) / kPanel * kPanel; begin >= 0; begin -= kPanel) {
    run_team(threads_for(n - begin, m), [&](const Team& team) {
      for (int64_t j = begin + team.begin(n - begin); j < begin + team.end(n - begin); ++j) {
        for (int64_t k = std::min(begin + kPanel - 1, j); k >= begin; --k)
          reflections.apply(k, q.data() + j * m);
      }
    });
  }
  a = transposed(q, n, m);
}

// Repeated squaring: A^(2^p) = s_0^(2^p) s_1^(2^(p-1)) ... s_p B with ||B|| = 1, until B shows the
// dominant invariant subspace. If it never does (many eigenvalues of one absolute value), the
// roots of the norms alone give the radius by Gelfand's formula ||A^k||^(1/k).
double spectral_radius(const Buffer<double>& a, int64_t n) {
  constexpr int kSquarings = 40;
  Buffer<double> power(a.count()), square(a.count());
  std::copy_n(a.data(), a.count(), power.data());
  double radius = normalise(power);
  for (int p = 1; radius > 0 && p <= kSquarings; ++p) {
    multiply_by_itself(power, n, square);
    std::swap(power, square);
    double root = normalise(power);
    for (int i = 0; i < p; ++i) root = std::sqrt(root);
    radius *= root;
    const double exact = radius_from_power(a, power, n);
    if (exact >= 0) return exact;
  }
  return radius;
}

}  // namespace bptt
