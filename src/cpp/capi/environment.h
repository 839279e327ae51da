// environment.h: checks of the environment variables that configure the library.
#pragma once

#include "kernels/kernels.h"

namespace bptt {

// Returns the kernels in use; fails with BPTT_ERR_ISA if BPTT_ISA does not name kernels that this
// CPU supports (library.cpp).
const KernelTable& kernels_in_use();
// Checks the same, and fails with BPTT_ERR_ARGUMENT if BPTT_NUM_THREADS is not a number of threads.
void check_environment();

}  // namespace bptt
