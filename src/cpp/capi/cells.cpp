// cells.cpp: descriptions of cells and nonlinearities: names, gates, and where functions are flat.
#include <iterator>

#include "capi/environment.h"
#include "capi/errors.h"
#include "capi/options.h"
#include "capi/structs.h"
#include "sequence/cell_shape.h"

namespace bptt {
namespace {

// The public enumerators are the engine's plus one.
bptt_flat flat_of(Flat flat) { return static_cast<bptt_flat>(int(flat) + 1); }
static_assert(int(Flat::never) + 1 == BPTT_FLAT_NEVER && int(Flat::slope) + 1 == BPTT_FLAT_SLOPE);

bptt_cell_info info_of(const char* name, const CellShape& shape) {
  static_assert(std::size(bptt_cell_info().letters) >= 4);
  bptt_cell_info info = defaults_of<bptt_cell_info>();
  info.name = name;
  info.gates = shape.gates;
  for (int64_t g = 0; g < shape.gates; ++g) {
    const Gate& gate = shape.gate[g];
    info.letters[g] = gate.letter;
    info.names[g] = gate.word;
    info.flat[g] = flat_of(gate.flat);
  }
  info.tape_gates = shape.saves_gates ? shape.gates : 0;
  info.has_c = shape.has_c;
  info.products = shape.recurrent() + (shape.late_gates > 0);
  return info;
}

}  // namespace

}  // namespace bptt

using namespace bptt;

bptt_status bptt_describe_cell(const bptt_layer_options* options, bptt_cell_info* info,
                               size_t struct_size) {
  return guard("bptt_describe_cell", [&] {
    const LayerConfig config = cell_settings(options);
    write_struct(info, struct_size, info_of(row_of(config.cell).word, config.shape()), "info");
  });
}

bptt_status bptt_describe_nonlinearity(bptt_nonlinearity nonlinearity, bptt_nonlinearity_info* info,
                                       size_t struct_size) {
  return guard("bptt_describe_nonlinearity", [&] {
    const int64_t index = int64_t{raw(nonlinearity)} - 1;
    if (index < 0 || index >= kActivationCount) {
      fail(BPTT_ERR_ARGUMENT, "nonlinearity",
           "an integer from 1 to " + text(int64_t{kActivationCount}),
           text(int64_t{raw(nonlinearity)}));
    }
    const ActivationRow& row = kActivationTable[index];
    write_struct(info, struct_size,
                 {struct_size, row.word, flat_of(row.flat), int32_t{row.saves_slope}}, "info");
  });
}
