// activity.h: the regularisers of the activity, l1 mean |h| + l2 mean h^2 over the elements of h of
// all layers and directions at all steps of all sequences (Song et al. 2016; Yang et al. 2019).
#pragma once

#include <cmath>

#include "sequence/backward/context.h"

namespace bptt {

template <class T>
class ActivityTerms {
 public:
  explicit ActivityTerms(const BackwardContext<T>& context) : in(context) {
    const BpttSettings& settings = in.call.settings;
    if (!(settings.activity_l1 > 0) && !(settings.activity_l2 > 0)) return;
    const double elements = double(in.all.rows()) * double(in.config.walks()) * double(in.R);
    l1_ = settings.activity_l1 / elements;
    l2_ = settings.activity_l2 / elements;
    sums_ = Buffer<double>::zeros(checked_count(in.config.walks(), in.count));
  }

  bool on() const { return sums_.count() > 0; }

  // Adds the gradient by h_t of sequence n to dL/dh_t, and the terms to the sum of the sequence.
  void add(int64_t walk, int64_t n, const T* h, T* dh) {
    const T slope = T(l1_), twice = T(2 * l2_);
    double absolute = 0, squares = 0;
    for (int64_t u = 0; u < in.R; ++u) {
      dh[u] += slope * T((h[u] > 0) - (h[u] < 0)) + twice * h[u];
      absolute += std::fabs(double(h[u]));
      squares += double(h[u]) * double(h[u]);
    }
    sums_[walk * in.count + n] += l1_ * absolute + l2_ * squares;
  }

  // Returns the share of this part of the batch in the value, summed in the order of the sequences.
  double value() const {
    double total = 0;
    for (int64_t i = 0; i < sums_.count(); ++i) total += sums_[i];
    return total;
  }

 private:
  const BackwardContext<T>& in;
  double l1_ = 0, l2_ = 0;  // the weights divided by the number of elements
  Buffer<double> sums_;     // [L * D, sequences]; empty: off
};

}  // namespace bptt
