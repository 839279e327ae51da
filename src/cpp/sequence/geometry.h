// geometry.h: the lengths of internal rows.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"
#include "sequence/cell_shape.h"
#include "sequence/layer_config.h"

namespace bptt {

// Lengths of internal rows, in elements.
template <class T>
struct Geometry {
  CellShape shape;
  int64_t input_row;     // of x of the first layer
  int64_t state_row;     // of h
  int64_t cell_row;      // of c, and of the cell's own h before a projection
  int64_t features_row;  // of x of the upper layers: h of all directions
  int64_t plane;         // distance between the planes of a row
  int64_t planes_row;    // of the saved planes
  int64_t dz_row;        // of the pre-activation gradients
  explicit Geometry(const StackConfig& config) : shape(config.shape()) {
    input_row = padded_row<T>(config.input);
    state_row = padded_row<T>(config.state());
    cell_row = padded_row<T>(config.hidden);
    features_row = padded_row<T>(config.features());
    plane = padded_plane<T>(config.hidden);
    planes_row = shape.planes ? padded_row<T>(shape.planes * plane) : 0;
    dz_row = padded_row<T>(shape.dz_planes * plane);
  }
};

}  // namespace bptt
