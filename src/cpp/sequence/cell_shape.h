// cell_shape.h: what a cell of a kind keeps for the way back, and how its pre-activation gradients lie.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace bptt {

// Which cell it is; the default is the plain one.
struct CellKind {
  Cell cell = Cell::lstm;
  bool extended = false;  // has CellOptions
  bool coupled = false, peephole = false, projected = false, reset_before = false, norm = false;
};

// What a cell keeps and how its pre-activation gradients lie.
struct CellShape {
  int64_t gates;        // groups of the weights
  int64_t planes;       // saved per step beside the states; 0: the input part goes into h
  int64_t dz_planes;    // of the pre-activation gradients, all of them
  int64_t dz_hidden;    // first dz plane of those that belong to W_hh (gates in order)
  int64_t dz_input[4];  // gate of each dz plane 0.. that belongs to W_ih
  bool has_c;
  bool adds_carry;        // the step leaves a direct share of dL/dh_{t-1} in dh
  int64_t product_gates;  // groups of the first product with W_hh
  int64_t projected = 0;  // saved plane of o tanh(c_t) that the projection reads
  int64_t norm = 0;       // first saved plane of layer normalisation: hats of x, of h, inverses
  int64_t norm_input = 0, norm_hidden = 0;  // first dz planes behind the normalisation
  int64_t peephole = 0, peepholes = 0;  // first dz plane that sums up to their gradient; how many
  int64_t gain_input = 0, gain_hidden = 0, gain_c = 0;  // the same of the gains; bias_c follows
};
constexpr CellShape cell_shape(const CellKind& kind) {
  CellShape shape = {};
  if (kind.cell == Cell::lstm) {
    const int64_t gates = kind.coupled ? 3 : 4;  // i f g o, or i g o
    shape = {gates, gates, gates, 0, {0, 1, 2, 3}, true, false, gates};
  } else if (kind.cell == Cell::gru) {
    // Saved: r z n q, q = W_hn h + b_hn; dz: n r z q. Reset before: r z n r*h; dz: n r z.
    if (kind.reset_before) {
      shape = {3, 4, 3, 1, {2, 0, 1, 0}, false, true, 2};
    } else {
      shape = {3, 4, 4, 1, {2, 0, 1, 0}, false, true, 3};
    }
  } else {
    shape = {1, kind.extended, 1, 0, {0, 0, 0, 0}, false, false, 1};
  }
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
  shape.peepholes = kind.peephole ? (kind.coupled ? 2 : 3) : 0;
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
