// environment.h: what environment variables ask of the library.
#pragma once

#include "kernels/kernels.h"

namespace bptt {

// The kernels that calls use now; fails with BPTT_ERR_ISA where BPTT_ISA names none of this CPU's
// (library.cpp).
const KernelTable& kernels_in_use();
// The same, and fails with BPTT_ERR_ARGUMENT where BPTT_NUM_THREADS is no number of threads.
void check_environment();

}  // namespace bptt
