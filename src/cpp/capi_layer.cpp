// capi_layer.cpp: layers, tapes, and the passes that layers and models share.
#include "capi_passes.h"

namespace bptt {
namespace {

template <class T>
std::shared_ptr<Network<T>> new_layer(const LayerSettings& settings) {
  auto network = std::make_shared<Network<T>>(settings.network);
  initialise(*network, settings.init);
  return network;
}

}  // namespace
}  // namespace bptt

using namespace bptt;

bptt_status bptt_layer_create(const bptt_layer_options* options, bptt_layer** layer) {
  return guard("bptt_layer_create", [&] {
    not_null(layer, "layer");
    const LayerSettings settings = layer_settings(options);
    kernels_in_use();
    auto object = std::make_unique<LayerObject>();
    if (settings.dtype == Dtype::float32) {
      object->network = new_layer<float>(settings);
    } else {
      object->network = new_layer<double>(settings);
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
