// objects.h: the objects to which handles refer.
#pragma once

#include <memory>
#include <variant>

#include "bptt.h"
#include "capi/handles.h"
#include "model/model.h"
#include "model/network.h"
#include "model/optimizer.h"
#include "model/stream.h"
#include "sequence/tape.h"

namespace bptt {

template <template <class> class Thing>
using Either = std::variant<std::shared_ptr<Thing<float>>, std::shared_ptr<Thing<double>>>;

// Runs body(const std::shared_ptr<Thing<T>>&) with the type that the variant holds.
template <class Variant, class Body>
decltype(auto) on(const Variant& either, const Body& body) {
  return either.index() == 0 ? body(*std::get_if<0>(&either)) : body(*std::get_if<1>(&either));
}

struct LayerObject final : Object {
  Either<Network> network;
};

struct ModelObject final : Object {
  Either<Model> model;
};

// A tape keeps its network alive, because its memory returns to that network's shelf, and no other
// network may use the tape.
template <class T>
struct OwnedTape {
  std::shared_ptr<Network<T>> network;
  std::unique_ptr<Tape<T>> tape;
};
struct TapeObject final : Object {
  Either<OwnedTape> owned;
};

template <class T>
struct OwnedOptimizer {
  std::shared_ptr<Network<T>> network;
  Optimizer<T> optimizer;
};
struct OptimizerObject final : Object {
  Either<OwnedOptimizer> owned;
};

struct StreamObject final : Object {
  Either<Stream> stream;
};

template <class T>
std::shared_ptr<Network<T>> network_of(const std::shared_ptr<Network<T>>& network) {
  return network;
}
template <class T>
std::shared_ptr<Network<T>> network_of(const std::shared_ptr<Model<T>>& model) {
  return {model, &model->network()};
}

// Runs body(std::shared_ptr<Network<T>>) for the network that owns the parameters of a handle.
template <class Body>
void with_params(bptt_params* params, const Body& body) {
  const Use use(params, {Tag::layer_params, Tag::model_params}, "params");
  if (use.tag() == Tag::layer_params) {
    on(use.as<LayerObject>().network, [&](const auto& network) { body(network_of(network)); });
  } else {
    on(use.as<ModelObject>().model, [&](const auto& model) { body(network_of(model)); });
  }
}

}  // namespace bptt
