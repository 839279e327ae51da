// layer.cpp: layers, tapes, and the passes that layers and models share.
#include "capi/environment.h"
#include "capi/options.h"
#include "capi/passes.h"

namespace bptt {
namespace {

template <class T>
std::shared_ptr<Network<T>> new_layer(const NetworkConfig& config) {
  auto network = std::make_shared<Network<T>>(config);
  initialise(*network);
  return network;
}

}  // namespace
}  // namespace bptt

using namespace bptt;

bptt_status bptt_layer_create(const bptt_layer_options* options, bptt_layer** layer) {
  return guard("bptt_layer_create", [&] {
    not_null(layer, "layer");
    const NetworkConfig config = layer_settings(options);
    check_environment();
    auto object = std::make_unique<LayerObject>();
    if (config.dtype == BPTT_FLOAT32) {
      object->network = new_layer<float>(config);
    } else {
      object->network = new_layer<double>(config);
    }
    *layer = static_cast<bptt_layer*>(new_handle(Tag::layer, std::move(object)));
  });
}

bptt_status bptt_layer_free(bptt_layer* layer) {
  return guard("bptt_layer_free", [&] { free_handle(layer, Tag::layer, "layer"); });
}

bptt_status bptt_layer_params(bptt_layer* layer, bptt_params** params) {
  return guard("bptt_layer_params", [&] {
    not_null(params, "params");
    const Use use(layer, {Tag::layer}, "layer");
    *params = static_cast<bptt_params*>(view_handle(layer, Tag::layer_params));
  });
}

bptt_status bptt_layer_forward(bptt_layer* layer, const bptt_sequence* sequence,
                               const bptt_outputs* outputs, bptt_tape** tape) {
  return guard("bptt_layer_forward", [&] {
    const Use use(layer, {Tag::layer}, "layer");
    on(use.as<LayerObject>().network,
       [&](const auto& network) { run_forward(network, sequence, outputs, tape); });
  });
}

bptt_status bptt_layer_backward(bptt_layer* layer, bptt_tape* tape, const bptt_backward* backward) {
  return guard("bptt_layer_backward", [&] {
    const Use use(layer, {Tag::layer}, "layer");
    on(use.as<LayerObject>().network,
       [&](const auto& network) { run_backward(network, tape, backward); });
  });
}

bptt_status bptt_tape_free(bptt_tape* tape) {
  return guard("bptt_tape_free", [&] { free_handle(tape, Tag::tape, "tape"); });
}

bptt_status bptt_tape_bytes(bptt_tape* tape, int64_t* bytes) {
  return guard("bptt_tape_bytes", [&] {
    not_null(bytes, "bytes");
    const Use use(tape, {Tag::tape}, "tape");
    *bytes = on(use.as<TapeObject>().owned, [](const auto& owned) { return owned->tape->bytes(); });
  });
}

bptt_status bptt_tape_read(bptt_tape* tape, bptt_tape_part part, int64_t index, int64_t gate,
                           void* values) {
  return guard("bptt_tape_read", [&] {
    not_null(values, "values");
    const Use use(tape, {Tag::tape}, "tape");
    on(use.as<TapeObject>().owned, [&]<class T>(const std::shared_ptr<OwnedTape<T>>& owned) {
      const StackConfig& config = owned->tape->config();
      const auto below = [](int64_t value, int64_t count, const char* argument) {
        if (value >= 0 && value < count) return;
        fail(BPTT_ERR_RANGE, argument, "an index from 0 to " + text(count - 1), text(value));
      };
      below(index, config.walks(), "index");
      TapePart known = TapePart::h;
      switch (raw(part)) {
        case BPTT_TAPE_H:
          break;
        case BPTT_TAPE_C:
          if (!config.shape().has_c)
            fail(BPTT_ERR_ARGUMENT, "part", "another than BPTT_TAPE_C unless the cell is BPTT_LSTM",
                 "BPTT_TAPE_C");
          known = TapePart::c;
          break;
        case BPTT_TAPE_GATE:
          if (!config.shape().saves_gates)
            fail(BPTT_ERR_ARGUMENT, "part", "another than BPTT_TAPE_GATE for BPTT_RNN",
                 "BPTT_TAPE_GATE");
          below(gate, config.shape().gates, "gate");
          known = TapePart::gate;
          break;
        default:
          fail(BPTT_ERR_ARGUMENT, "part",
               "one of BPTT_TAPE_H (1), BPTT_TAPE_C (2), BPTT_TAPE_GATE (3)",
               text(int64_t{raw(part)}));
      }
      read_tape(*owned->tape, known, index, gate, static_cast<T*>(values));
    });
  });
}
