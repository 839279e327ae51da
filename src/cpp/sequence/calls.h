// calls.h: the arguments of a forward pass and of a backward pass. The C API fills in a call once
// (capi/arrays.h), and the network adds its own fields.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "sequence/batch.h"
#include "sequence/block.h"
#include "sequence/packed.h"
#include "sequence/tape.h"

namespace bptt {

template <class T>
struct ForwardCall {
  Sequence<T> sequence;

  // Results (bptt.h: bptt_outputs); each may be null.
  T* y = nullptr;  // output of the network: the readout's, or h of the top layer
  int64_t y_t = 0, y_n = 0;
  T* hn = nullptr;
  T* cn = nullptr;

  // Set by the network.
  const T* parameters = nullptr;
  uint64_t version = 0;
  const T* table = nullptr;  // with tokens: the rows [input] that represent them; null: one-hot
  bool ends = false;         // after_block: rows are at each direction's own steps (gather.h)
  // Called by every member of the team after each block.
  std::function<void(const Team&, const Block<T>&)> after_block;
};

// Settings of a backward pass (bptt.h: bptt_backward).
struct BpttSettings {
  double clip_step = 0, clip_step_norm = 0;  // 0: off
  int64_t k1 = 0, k2 = 0;                    // truncation; 0: off
  double omega = 0;                          // weight of the regulariser; 0: off
  double activity_l1 = 0, activity_l2 = 0;   // weights of regularisers; 0: off
  bool operator==(const BpttSettings&) const = default;
};
// Returns the settings in bptt_backward or in the options of a model.
template <class Options>
BpttSettings settings_of(const Options& options) {
  return {options.clip_step, options.clip_step_norm, options.truncation_k1, options.truncation_k2,
          options.omega,     options.activity_l1,    options.activity_l2};
}

// A record of every step of a backward pass, in the rows of the tape: total dL/dh_t and dL/dc_t,
// and the dz planes.
template <class T>
struct FlowRecord {
  struct Walk {
    Buffer<T> h, c, dz;  // [rows, R], [rows, H], [rows, dz planes, H], in internal rows
  };
  std::vector<Walk> walks;

  FlowRecord(const Geometry<T>& geometry, const Tape<T>& tape) {
    const int64_t rows = tape.order().rows();
    for (int64_t walk = 0; walk < tape.config().walks(); ++walk) {
      Walk own;
      own.h = Buffer<T>::zeros(checked_count(rows, geometry.state_row));
      if (geometry.shape.has_c) own.c = Buffer<T>::zeros(checked_count(rows, geometry.cell_row));
      own.dz = Buffer<T>::zeros(checked_count(rows, geometry.dz_row));
      walks.push_back(std::move(own));
    }
  }
  void put_h(int64_t walk, int64_t row, const Geometry<T>& geometry, const T* h) {
    const int64_t length = geometry.state_row;
    std::memcpy(walks[size_t(walk)].h.data() + row * length, h, size_t(length) * sizeof(T));
  }
  void put_dz(int64_t walk, int64_t row, const Geometry<T>& geometry, const T* dz) {
    const int64_t length = geometry.dz_row;
    std::memcpy(walks[size_t(walk)].dz.data() + row * length, dz, size_t(length) * sizeof(T));
  }
};

// The parts of the gradient flow that a caller requires.
template <class T>
struct FlowRequest {
  double* norms[3] = {};  // [L * D, T]: of dL/dh_t, dL/dc_t, dL/da_t; null: not required
  // Called with the record of the whole pass (diagnostics/flow_detail.h); empty: record nothing.
  std::function<void(const FlowRecord<T>&, const Tape<T>&)> detail;
};

// Losses of one sequence, each of an output at one step, as rows of one backward walk. All rows of
// a step read the same row of the tape, and each row enters the walk at its own step.
template <class T>
struct Seeds {
  int64_t sample = 0;             // in the tape's order
  int64_t begin = 0;              // the walk's last step
  std::vector<int64_t> times;     // [rows]
  const T* dy = nullptr;          // [rows, D * R]: with respect to the top layer's h at its step
  std::vector<double*> dx_norms;  // [rows] of [T]: ||dL/dx_t||; empty: not required
  std::vector<double*> flow, flow_c;  // [rows] of [L * D, flow_walk]: ||dL/dh_t||, ||dL/dc_t||
  int64_t flow_walk = 0;              // stride from walk to walk
};

template <class T>
struct BackwardCall {
  // Gradients of the output and of the final states (bptt.h: bptt_backward); null: zeros.
  const T* dy = nullptr;  // strided
  int64_t dy_t = 0, dy_n = 0;
  const T* dhn = nullptr;
  const T* dcn = nullptr;
  BpttSettings settings;

  // Results; each may be null.
  T* gradients = nullptr;
  bool accumulate = false;        // add to the gradients
  double* omega_value = nullptr;  // set if the weight omega > 0
  double* activity_penalty = nullptr;
  T* dx = nullptr;
  int64_t dx_t = 0, dx_n = 0;
  T* dh0 = nullptr;
  T* dc0 = nullptr;
  FlowRequest<T> flow;

  // Set by the network.
  std::shared_ptr<const Packed<T>> packed;  // of packed_backward
  int64_t parameter_count = 0;              // of the flat vector
  T* table_gradient = nullptr;              // points into `gradients`
  // Replaces dy: called by every member before a block. Fills dy [rows, H] (state_row apart) and
  // returns true, or returns false if dy is zero.
  std::function<bool(const Team&, const Block<T>&, T* dy)> before_block;
  bool ends = false;  // before_block, seeds: rows are at each direction's own steps (gather.h)
  const Seeds<T>* seeds = nullptr;  // replaces dy
};

}  // namespace bptt
