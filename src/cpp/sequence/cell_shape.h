// cell_shape.h: the table of cells: their gates, the values that each saves for the backward pass,
// and the layout of its pre-activation gradients. The engine reads these properties and compares no
// cell's name.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace bptt {

// A gate: a block of H rows of W_ih, and of W_hh if the cell has one.
struct Gate {
  const char* letter;
  const char* word;
  Flat flat;      // the region in which its function is flat
  int keeps = 0;  // 1: an open gate keeps the state; -1: a closed gate does
  bool forget = false;
};

// The kind of a cell; the default is the plain one.
struct CellKind {
  Cell cell = Cell::lstm;
  bool extended = false;  // has CellOptions
  bool coupled = false, peephole = false, projected = false, reset_before = false, norm = false;
};

struct CellShape {
  const Gate* gate;       // in the order of the weights
  int64_t gates;          // groups of the weights
  int64_t planes;         // saved per step in addition to the states; 0: the input part goes into h
  int64_t dz_planes;      // of the pre-activation gradients, all of them
  int64_t dz_hidden = 0;  // first dz plane of W_hh (gates in order)
  int64_t dz_input[4];    // gate of each dz plane 0.. of W_ih
  int64_t product_gates;  // groups of the first product with W_hh; 0: no W_hh
  int64_t late_gates = 0;    // groups of a second product, after the reset
  int64_t apart = -1;        // gate whose b_hh stays with its product; -1: none
  bool has_c = false;        // the state is (h, c)
  bool saves_gates = false;  // the first saved planes are the gates after their functions
  bool adds_carry = false;   // the step leaves a direct share of dL/dh_{t-1} in dh
  // Additions by options.
  int64_t projected = 0;  // saved plane of o tanh(c_t) that the projection reads
  int64_t norm = 0;       // first saved plane of layer normalisation: hats of x, of h, inverses
  int64_t norm_input = 0, norm_hidden = 0;  // first dz planes before the normalisation
  int64_t peephole = 0, peepholes = 0;      // first dz plane that sums to their gradient; count
  int64_t gain_input = 0, gain_hidden = 0, gain_c = 0;  // the same for the gains; bias_c follows

  constexpr bool recurrent() const { return product_gates > 0; }
  constexpr int64_t states() const { return has_c ? 2 : 1; }
  // Returns -1 if there is none.
  constexpr int64_t forget_gate() const {
    for (int64_t g = 0; g < gates; ++g) {
      if (gate[g].forget) return g;
    }
    return -1;
  }
  // Returns whether gates hold the state for a time that their biases determine.
  constexpr bool keeps_state() const {
    for (int64_t g = 0; g < gates; ++g) {
      if (gate[g].keeps != 0) return true;
    }
    return false;
  }
};

// Gates in the order of the weights. The gate of an RNN is f(a_t), and its activation tells where f
// is flat.
inline constexpr Gate kRnnGates[] = {{"h", "state h", Flat::never}};
inline constexpr Gate kLstmGates[] = {{"i", "input gate i", Flat::unit, -1},
                                      {"f", "forget gate f", Flat::unit, 1, true},
                                      {"g", "candidate g", Flat::symmetric},
                                      {"o", "output gate o", Flat::unit}};
inline constexpr Gate kCoupledGates[] = {kLstmGates[0], kLstmGates[2], kLstmGates[3]};
inline constexpr Gate kGruGates[] = {{"r", "reset gate r", Flat::unit},
                                     {"z", "update gate z", Flat::unit, 1},
                                     {"n", "candidate n", Flat::symmetric}};
inline constexpr Gate kMinGruGates[] = {{"z", "update gate z", Flat::unit, -1},
                                        {"n", "candidate n", Flat::never}};

// The cells without additions by options.
constexpr CellShape kRnn{.gate = kRnnGates,
                         .gates = 1,
                         .planes = 0,
                         .dz_planes = 1,
                         .dz_input = {0},
                         .product_gates = 1};
constexpr CellShape kLstm{.gate = kLstmGates,
                          .gates = 4,
                          .planes = 4,
                          .dz_planes = 4,
                          .dz_input = {0, 1, 2, 3},
                          .product_gates = 4,
                          .has_c = true,
                          .saves_gates = true};
constexpr CellShape kCoupledLstm{.gate = kCoupledGates,
                                 .gates = 3,
                                 .planes = 3,
                                 .dz_planes = 3,
                                 .dz_input = {0, 1, 2},
                                 .product_gates = 3,
                                 .has_c = true,
                                 .saves_gates = true};
// Saved: r z n q, q = W_hn h + b_hn; dz: n r z q.
constexpr CellShape kGru{.gate = kGruGates,
                         .gates = 3,
                         .planes = 4,
                         .dz_planes = 4,
                         .dz_hidden = 1,
                         .dz_input = {2, 0, 1},
                         .product_gates = 3,
                         .apart = 2,
                         .saves_gates = true,
                         .adds_carry = true};
// With the reset before the product. Saved: r z n r*h; dz: n r z.
constexpr CellShape kGruResetBefore{.gate = kGruGates,
                                    .gates = 3,
                                    .planes = 4,
                                    .dz_planes = 3,
                                    .dz_hidden = 1,
                                    .dz_input = {2, 0, 1},
                                    .product_gates = 2,
                                    .late_gates = 1,
                                    .apart = 2,
                                    .saves_gates = true,
                                    .adds_carry = true};
constexpr CellShape kMinGru{.gate = kMinGruGates,
                            .gates = 2,
                            .planes = 2,
                            .dz_planes = 2,
                            .dz_input = {0, 1},
                            .product_gates = 0,
                            .saves_gates = true,
                            .adds_carry = true};

// The cells, in the order of Cell.
struct CellRow {
  const char* word;
  CellShape plain;
};
inline constexpr CellRow kCellTable[kCellCount] = {
    {"rnn", kRnn}, {"lstm", kLstm}, {"gru", kGru}, {"mingru", kMinGru}};
constexpr const CellRow& row_of(Cell cell) { return kCellTable[int(cell)]; }

constexpr CellShape cell_shape(const CellKind& kind) {
  CellShape shape = row_of(kind.cell).plain;
  if (kind.coupled) shape = kCoupledLstm;
  if (kind.reset_before) shape = kGruResetBefore;
  if (!shape.saves_gates) shape.planes = kind.extended;  // f(a_t) or f'(a_t)
  shape.adds_carry = shape.adds_carry || kind.extended;
  shape.projected = shape.planes;
  shape.planes += kind.projected;
  if (kind.norm) {
    shape.norm = shape.planes;
    shape.planes += 2 * shape.gates + 1;
    shape.norm_input = shape.dz_planes;
    shape.norm_hidden = shape.norm_input + shape.gates;
    shape.dz_planes = shape.norm_hidden + shape.gates;
  }
  shape.peephole = shape.dz_planes;
  shape.peepholes = kind.peephole ? shape.gates - 1 : 0;  // not for the candidate
  shape.dz_planes += shape.peepholes;
  if (kind.norm) {
    shape.gain_input = shape.dz_planes;
    shape.gain_hidden = shape.gain_input + shape.gates;
    shape.gain_c = shape.gain_hidden + shape.gates;
    shape.dz_planes = shape.gain_c + (shape.has_c ? 2 : 0);
  }
  return shape;
}

}  // namespace bptt
