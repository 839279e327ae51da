// kernels.cpp: compiled once per instruction set; exports that set's table and nothing else.
#include "kernels/kernels.h"

#include "kernels/cells/gru.h"
#include "kernels/cells/lstm.h"
#include "kernels/cells/norm.h"
#include "kernels/cells/rnn.h"
#include "kernels/simd/bf16.h"
#include "kernels/simd/gemm.h"
#include "kernels/simd/update.h"

#ifndef BPTT_KERNEL_ISA
#error "compile with -DBPTT_KERNEL_ISA=sse2, avx2, avx512 or neon"
#endif

#define BPTT_JOIN(a, b) a##b
#define BPTT_TABLE(isa) BPTT_JOIN(kernels_, isa)
#define BPTT_TEXT_OF(isa) #isa
#define BPTT_TEXT(isa) BPTT_TEXT_OF(isa)

namespace bptt {
namespace {

template <class T>
constexpr Kernels<T> table_of() {
  return {kLanes<T>,
          false,
          pack<T>,
          product<T>,
          outer<T>,
          {rnn_forward<T>, lstm_forward<T>, gru_forward<T>},
          {rnn_backward<T>, lstm_backward<T>, gru_backward<T>},
          norm_forward<T>,
          norm_backward<T>,
          add_column_sums<T>,
          add<T>,
          add_products<T>,
          multiply<T>,
          scale<T>,
          clamp_all<T>,
          sum_squares<T>,
          dot<T>,
          add_scaled<T>,
          max_abs<T>,
          softmax_row<T>,
          {update_sgd<T>, update_adagrad<T>, update_adam<T>, update_rmsprop<T>, update_graves<T>,
           update_lion<T>},
          map_tanh<T>,
          map_sigmoid<T>,
          map_exp<T>};
}

constexpr Kernels<float> bf16_table() {
  Kernels<float> table = table_of<float>();
  set_bf16<rnn_forward<float>, lstm_forward<float>, gru_forward<float>>(table);
  return table;
}

}  // namespace

extern const KernelTable BPTT_TABLE(BPTT_KERNEL_ISA);
const KernelTable BPTT_TABLE(BPTT_KERNEL_ISA) = {BPTT_TEXT(BPTT_KERNEL_ISA), table_of<float>(),
                                                 table_of<double>(), bf16_table()};

}  // namespace bptt
