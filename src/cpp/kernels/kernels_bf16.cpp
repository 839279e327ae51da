// kernels_bf16.cpp: native bfloat16 products for CPUs with AVX512_BF16, an addition to the avx512
// table. It exports only the function that puts them into a table.
#include "kernels/kernels.h"

#include "kernels/simd/bf16.h"

namespace bptt {

extern const KernelTable kernels_avx512;
void kernels_avx512bf16(Kernels<float>& table);

namespace {

template <int CELL>
void step_of(const StepForwardArgs<float>& s) {
  kernels_avx512.f32.step_forward[CELL](s);
}

}  // namespace

void kernels_avx512bf16(Kernels<float>& table) {
  set_bf16<step_of<0>, step_of<1>, step_of<2>, step_of<3>>(table);
}

}  // namespace bptt
