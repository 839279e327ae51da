// random_bits.cpp: the natural logarithm, and the inverse of the normal distribution.
#include "base/random_bits.h"

#include <bit>
#include <cmath>

namespace bptt {
namespace {

// Numerators and denominators of the two rational functions, highest power first.
constexpr double kMiddle[2][8] = {
    {2.5090809287301226727e+3, 3.3430575583588128105e+4, 6.7265770927008700853e+4,
     4.5921953931549871457e+4, 1.3731693765509461125e+4, 1.9715909503065514427e+3,
     1.3314166789178437745e+2, 3.3871328727963666080e+0},
    {5.2264952788528545610e+3, 2.8729085735721942674e+4, 3.9307895800092710610e+4,
     2.1213794301586595867e+4, 5.3941960214247511077e+3, 6.8718700749205790830e+2,
     4.2313330701600911252e+1, 1.0}};
constexpr double kTail[2][8] = {
    {7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1,
     1.27045825245236838258e+0, 3.64784832476320460504e+0, 5.76949722146069140550e+0,
     4.63033784615654529590e+0, 1.42343711074968357734e+0},
    {1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2,
     1.48103976427480074590e-1, 6.89767334985100004550e-1, 1.67638483018380384940e+0,
     2.05319162663775882187e+0, 1.0}};

double quotient(const double (&of)[2][8], double r) {
  double value[2] = {of[0][0], of[1][0]};
  for (int i = 1; i < 8; ++i) {
    value[0] = value[0] * r + of[0][i];
    value[1] = value[1] * r + of[1][i];
  }
  return value[0] / value[1];
}

}  // namespace

// x = m 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 (f + f^3/3 + f^5/5 + ...), f = (m - 1) /
// (m + 1), |f| < 0.172. After twelve terms the error is below 2^-60.
double natural_logarithm(double x) {
  const auto bits = std::bit_cast<uint64_t>(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  auto m = std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFu) | uint64_t{1023} << 52);
  if (m >= 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double f = (m - 1) / (m + 1), square = f * f;
  double sum = 0;
  for (int odd = 23; odd > 1; odd -= 2) sum = (sum + 1.0 / odd) * square;
  return exponent * 0.69314718055994531 + 2 * (f + f * sum);
}

double inverse_normal(double p) {
  const double q = p - 0.5;
  if (std::fabs(q) <= 0.425) return quotient(kMiddle, 0.180625 - q * q) * q;
  const double r = std::sqrt(-natural_logarithm(q < 0 ? p : 1 - p));
  const double x = quotient(kTail, r - 1.6);
  return q < 0 ? -x : x;
}

}  // namespace bptt
