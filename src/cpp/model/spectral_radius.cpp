// spectral_radius.cpp: the spectral radius by Arnoldi's iteration and the shifted QR iteration.
//
// Arnoldi's iteration (1951) computes an orthonormal basis V of the space that v, A v, A^2 v, ...
// span. It gives A V = V H + (a remainder in one direction), where H is upper Hessenberg and small.
// The largest eigenvalues of H converge to those of A from the outside in: for a random matrix,
// whose eigenvalues fill a disk, m steps leave an error of about exp(-m^2 / 4n), so that some 12
// sqrt(n) steps are enough. The eigenvalues of H come from the shifted QR iteration (Francis 1961).
// With m = n steps H is A itself in another basis, so that the iteration ends for any matrix.
#include "model/spectral_radius.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/vectors.h"

namespace bptt {
namespace {

constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

struct Complex {
  double re = 0, im = 0;
};
Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
Complex operator-(Complex a, Complex b) { return {a.re - b.re, a.im - b.im}; }
Complex operator*(Complex a, Complex b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
double square(Complex a) { return a.re * a.re + a.im * a.im; }
double modulus(Complex a) { return std::sqrt(square(a)); }
Complex operator/(Complex a, Complex b) {
  const double size = square(b);
  return {(a.re * b.re + a.im * b.im) / size, (a.im * b.re - a.re * b.im) / size};
}

// Returns the indices that are on a cycle of the matrix's nonzero elements, or on a path between
// two cycles. Each other index contributes its diagonal element as an eigenvalue; `radius` becomes
// the largest of these.
std::vector<int64_t> core_of(const Buffer<double>& a, int64_t n, double& radius) {
  std::vector<int64_t> in_row(static_cast<size_t>(n)), in_column(static_cast<size_t>(n)), loose;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (i == j || a[i * n + j] == 0) continue;
      ++in_row[size_t(i)];
      ++in_column[size_t(j)];
    }
  }
  std::vector<bool> left(static_cast<size_t>(n), true);
  const auto loosen = [&](int64_t i) {
    if (!left[size_t(i)] || (in_row[size_t(i)] > 0 && in_column[size_t(i)] > 0)) return;
    left[size_t(i)] = false;
    loose.push_back(i);
    radius = std::max(radius, std::fabs(a[i * n + i]));
  };
  for (int64_t i = 0; i < n; ++i) loosen(i);
  while (!loose.empty()) {
    const int64_t i = loose.back();
    loose.pop_back();
    for (int64_t j = 0; j < n; ++j) {
      if (i == j) continue;
      in_column[size_t(j)] -= a[i * n + j] != 0;
      in_row[size_t(j)] -= a[j * n + i] != 0;
      loosen(j);
    }
  }
  std::vector<int64_t> core;
  for (int64_t i = 0; i < n; ++i) {
    if (left[size_t(i)]) core.push_back(i);
  }
  return core;
}

// An upper Hessenberg matrix, m x m, with rows `row` apart.
struct Hessenberg {
  const double* elements;
  int64_t m, row;
  double operator()(int64_t i, int64_t j) const { return elements[i * row + j]; }
};

// The shifted QR iteration on a copy of H, for eigenvalues only.
class QrIteration {
 public:
  QrIteration(const Hessenberg& h, Pace& pace) : m_(h.m), h_(checked_count(h.m, h.m)), pace_(pace) {
    for (int64_t i = 0; i < m_; ++i) {
      for (int64_t j = 0; j < m_; ++j) h_[i * m_ + j] = j + 1 < i ? 0 : h(i, j);
    }
    nothing_ = kEpsilon * std::sqrt(dot(h_.data(), h_.data(), m_ * m_) / double(m_));
  }

  // Returns an eigenvalue of the largest modulus.
  Complex run() {
    int64_t end = m_ - 1;  // last row and column that remain
    for (int64_t tries = 0; end >= 0; ++tries) {
      const int64_t begin = first_of_block(end, nothing_ * double(1 + tries));
      if (begin == end) {
        found({at(end, end), 0});
        end -= 1;
      } else if (begin == end - 1) {
        found_pair(end - 1);
        end -= 2;
      } else {
        sweep(begin, end, tries % 11 == 10);
        continue;
      }
      tries = -1;
    }
    return largest_;
  }

 private:
  double& at(int64_t i, int64_t j) { return h_[i * m_ + j]; }

  void found(Complex value) {
    if (square(value) > square(largest_)) largest_ = value;
  }

  // Finds the eigenvalues of rows and columns i and i + 1.
  void found_pair(int64_t i) {
    const double mean = (at(i, i) + at(i + 1, i + 1)) / 2, half = (at(i, i) - at(i + 1, i + 1)) / 2;
    const double discriminant = half * half + at(i, i + 1) * at(i + 1, i);
    const double root = std::sqrt(std::fabs(discriminant));
    if (discriminant < 0) return found({mean, root});
    found({mean < 0 ? mean - root : mean + root, 0});
  }

  // Returns the first index of the block that ends with `end`: the subdiagonal element before the
  // block is at most `nothing`, a threshold that grows while the iteration does not converge.
  int64_t first_of_block(int64_t end, double nothing) {
    int64_t i = end;
    while (i > 0 && std::fabs(at(i, i - 1)) > nothing) --i;
    return i;
  }

  // Runs one double step with the shifts of the last two rows, or with other shifts if those cycle.
  void sweep(int64_t begin, int64_t end, bool other) {
    pace_.did(20.0 * double(end - begin) * double(end - begin));
    double sum = at(end - 1, end - 1) + at(end, end);
    double product = at(end - 1, end - 1) * at(end, end) - at(end - 1, end) * at(end, end - 1);
    if (other) {
      const double size = std::fabs(at(end, end - 1)) + std::fabs(at(end - 1, end - 2));
      sum = 1.5 * size;
      product = size * size;
    }
    // The first column of (H - s1 I)(H - s2 I), up to a factor.
    const double top = at(begin, begin), below = at(begin + 1, begin);
    double x = (top * top - sum * top + product) / below + at(begin, begin + 1);
    double y = top + at(begin + 1, begin + 1) - sum, z = at(begin + 2, begin + 1);
    for (int64_t k = begin; k < end; ++k) {
      const bool three = k + 2 <= end;
      if (k > begin) {
        x = at(k, k - 1);
        y = at(k + 1, k - 1);
        z = three ? at(k + 2, k - 1) : 0;
      }
      const double size = std::fabs(x) + std::fabs(y) + std::fabs(z);
      if (size == 0) continue;
      x /= size, y /= size, z /= size;
      const double norm = std::sqrt(x * x + y * y + z * z), reach = x < 0 ? x - norm : x + norm;
      if (k > begin) {
        at(k, k - 1) = (x < 0 ? norm : -norm) * size;
        at(k + 1, k - 1) = 0;
        if (three) at(k + 2, k - 1) = 0;
      }
      reflect(begin, end, k, three, {y / reach, z / reach, std::fabs(reach) / norm});
    }
  }

  // I - beta v v^T with v = (1, y, z) from both sides, at rows and columns k, k + 1 and k + 2.
  struct Reflection {
    double y, z, beta;
  };
  void reflect(int64_t begin, int64_t end, int64_t k, bool three, const Reflection& r) {
    double *one = &at(k, 0), *two = &at(k + 1, 0), *last = three ? &at(k + 2, 0) : nullptr;
    for (int64_t j = k; last && j <= end; ++j) {
      const double share = r.beta * (one[j] + r.y * two[j] + r.z * last[j]);
      one[j] -= share;
      two[j] -= share * r.y;
      last[j] -= share * r.z;
    }
    for (int64_t j = k; !last && j <= end; ++j) {
      const double share = r.beta * (one[j] + r.y * two[j]);
      one[j] -= share;
      two[j] -= share * r.y;
    }
    for (int64_t i = begin, rows = std::min(end, k + 3); i <= rows; ++i) {
      double* element = &at(i, k);
      const double share = r.beta * (element[0] + r.y * element[1] + (last ? r.z * element[2] : 0));
      element[0] -= share;
      element[1] -= share * r.y;
      if (last) element[2] -= share * r.z;
    }
  }

  const int64_t m_;
  Buffer<double> h_;
  Pace& pace_;
  double nothing_;  // the size of a zero after rounding errors
  Complex largest_;
};

// Returns a vector y of norm 1 with H y close to value * y, after two steps of inverse iteration.
std::vector<Complex> eigenvector(const Hessenberg& h, Complex value, Pace& pace) {
  const int64_t m = h.m;
  const auto n = static_cast<size_t>(m);
  std::vector<Complex> u(n * n), factors(n), y(n, Complex{1, 0});
  std::vector<bool> swapped(n);
  double largest = 0;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = std::max(int64_t(0), i - 1); j < m; ++j) {
      u[size_t(i * m + j)] = {h(i, j), 0};
      largest = std::max(largest, std::fabs(h(i, j)));
    }
    u[size_t(i * m + i)] = u[size_t(i * m + i)] - value;
  }
  pace.did(20.0 * double(m) * double(m));
  const Complex least{kEpsilon * largest, 0};
  for (int64_t k = 0; k < m; ++k) {
    Complex *row = u.data() + k * m, *next = row + m;
    if (k + 1 < m && square(next[k]) > square(row[k])) {
      swapped[size_t(k)] = true;
      std::swap_ranges(row + k, row + m, next + k);
    }
    if (square(row[k]) < square(least)) row[k] = least;
    if (k + 1 == m) break;
    const Complex factor = factors[size_t(k)] = next[k] / row[k];
    for (int64_t j = k + 1; j < m; ++j) next[j] = next[j] - factor * row[j];
  }
  for (int pass = 0; pass < 2; ++pass) {
    // The first pass skips the elimination, since no better right-hand side is known.
    for (int64_t k = 0; pass > 0 && k + 1 < m; ++k) {
      if (swapped[size_t(k)]) std::swap(y[size_t(k)], y[size_t(k + 1)]);
      y[size_t(k + 1)] = y[size_t(k + 1)] - factors[size_t(k)] * y[size_t(k)];
    }
    double squares = 0;
    for (int64_t k = m - 1; k >= 0; --k) {
      const Complex* row = u.data() + k * m;
      Complex sum = y[size_t(k)];
      for (int64_t j = k + 1; j < m; ++j) sum = sum - row[j] * y[size_t(j)];
      y[size_t(k)] = sum / row[k];
      squares += square(y[size_t(k)]);
    }
    const double norm = std::sqrt(squares);
    for (Complex& element : y) element = {element.re / norm, element.im / norm};
  }
  return y;
}

// Returns ||H y - value y||, including the row below H, whose last column holds `below`.
double residual(const Hessenberg& h, double below, Complex value, const std::vector<Complex>& y) {
  double squares = below * below * square(y.back());
  for (int64_t i = 0; i < h.m; ++i) {
    Complex sum{};
    for (int64_t j = std::max(int64_t(0), i - 1); j < h.m; ++j)
      sum = sum + Complex{h(i, j) * y[size_t(j)].re, h(i, j) * y[size_t(j)].im};
    squares += square(sum - value * y[size_t(i)]);
  }
  return std::sqrt(squares);
}

class Arnoldi {
 public:
  // A is `n` x `n`; its largest element has size 1.
  Arnoldi(const Buffer<double>& a, int64_t n, Pace& pace)
      : a_(a), n_(n), pace_(pace), basis_(checked_count(n + 1, n)), h_(checked_count(n + 1, n)) {
    RandomStream random(0, "spectral_radius");
    for (int64_t i = 0; i < n; ++i) basis_[i] = random.normal();
    normalise(basis_.data(), std::sqrt(dot(basis_.data(), basis_.data(), n)));
  }

  double radius() {
    const double size = std::sqrt(dot(a_.data(), a_.data(), a_.count()));
    for (int64_t steps = std::max(kSmall, int64_t(12 * std::sqrt(double(n_))));;
         steps += steps / 4) {
      while (m_ < std::min(steps, n_) && !closed_) step();
      const Hessenberg h{h_.data(), m_, n_};
      const Complex value = QrIteration(h, pace_).run();
      if (m_ == n_ || closed_) return modulus(value);
      const double below = h_[m_ * n_ + m_ - 1];
      if (residual(h, below, value, eigenvector(h, value, pace_)) <= kSure * size)
        return modulus(value);
    }
  }

 private:
  static constexpr int64_t kSmall = 64;
  static constexpr double kSure = 1e-14;

  double* axis(int64_t j) { return basis_.data() + j * n_; }
  void normalise(double* v, double norm) const {
    for (int64_t i = 0; i < n_; ++i) v[i] /= norm;
  }

  // Computes the next column of H and the next basis vector.
  void step() {
    const double* v = axis(m_);
    double* w = axis(m_ + 1);
    pace_.did(2.0 * double(n_) * double(n_ + 2 * m_));
    run_team(n_ * n_ >> 18, [&](const Team& team) {
      for (int64_t i = team.begin(n_); i < team.end(n_); ++i) w[i] = dot(a_.data() + i * n_, v, n_);
    });
    for (int64_t i = 0; i <= m_; ++i) h_[i * n_ + m_] = 0;
    const double whole = std::sqrt(dot(w, w, n_));
    double before = whole, norm = whole;
    for (int pass = 0; pass < 3 && norm > 0; ++pass) {
      leave_axes(w);
      norm = std::sqrt(dot(w, w, n_));
      if (norm > 0.7 * before) break;
      before = norm;
    }
    ++m_;
    closed_ = !(norm > kEpsilon * std::sqrt(double(n_)) * whole);
    h_[m_ * n_ + m_ - 1] = closed_ ? 0 : norm;
    if (!closed_) normalise(w, norm);
  }

  void leave_axes(double* w) {
    shares_.resize(static_cast<size_t>(m_ + 1));
    for (int64_t j = 0; j <= m_; ++j) shares_[size_t(j)] = dot(axis(j), w, n_);
    for (int64_t j = 0; j <= m_; ++j) {
      add_multiple(w, -shares_[size_t(j)], axis(j), n_);
      h_[j * n_ + m_] += shares_[size_t(j)];
    }
  }

  const Buffer<double>& a_;
  const int64_t n_;
  Pace& pace_;
  Buffer<double> basis_, h_;  // rows: the basis vectors; [n + 1, n]
  std::vector<double> shares_;
  int64_t m_ = 0;
  bool closed_ = false;  // A maps the span of the basis vectors into itself
};

}  // namespace

double spectral_radius(const Buffer<double>& a, int64_t n, Pace& pace) {
  double radius = 0, largest = 0;
  const std::vector<int64_t> core = core_of(a, n, radius);
  const auto m = static_cast<int64_t>(core.size());
  if (m == 0) return radius;
  Buffer<double> scaled(checked_count(m, m));
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < m; ++j) {
      scaled[i * m + j] = a[core[size_t(i)] * n + core[size_t(j)]];
      largest = std::max(largest, std::fabs(scaled[i * m + j]));
    }
  }
  for (int64_t i = 0; i < scaled.count(); ++i) scaled[i] /= largest;
  return std::max(radius, largest * Arnoldi(scaled, m, pace).radius());
}

}  // namespace bptt
