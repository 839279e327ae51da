// network.cpp: the tensors of a network, its passes, and the snapshots that its tapes read.
#include "model/network.h"

#include <algorithm>
#include <cstring>

#include "model/readout.h"

namespace bptt {
namespace {

StackConfig stack_config(const NetworkConfig& config) {
  return {static_cast<const LayerConfig&>(config),
          config.embedding ? config.embedding : config.input};
}

// Adds all tensors in their order: embedding, layers from the bottom up, each direction, readout.
template <class T>
std::vector<LayerOffsets> add_tensors(const NetworkConfig& config, Params<T>& params) {
  const CellShape shape = config.shape();
  const int64_t H = config.hidden, R = config.state(), rows = checked_count(shape.gates, H);
  if (config.embedding) params.add("embedding.weight", {config.input, config.embedding});
  std::vector<LayerOffsets> offsets;
  for (int64_t walk = 0; walk < config.walks(); ++walk) {
    const int64_t l = walk / config.directions();
    const std::string suffix =
        "_l" + std::to_string(l) + (walk % config.directions() ? "_reverse" : "");
    auto add = [&](const char* name, std::vector<int64_t> sizes) {
      params.add(config.prefix + name + suffix, std::move(sizes));
      return params.tensors().back().offset;
    };
    LayerOffsets at;
    at.weight_ih = add("weight_ih", {rows, l ? config.features() : stack_config(config).input});
    if (shape.recurrent()) at.weight_hh = add("weight_hh", {rows, R});
    if (config.bias) at.bias_ih = add("bias_ih", {rows});
    if (config.bias && shape.recurrent()) at.bias_hh = add("bias_hh", {rows});
    if (config.projection) at.weight_hr = add("weight_hr", {R, H});
    if (config.peephole) at.peephole = add("weight_peephole", {shape.peepholes * H});
    if (config.layer_norm) {
      at.ln_ih = add("weight_ln_ih", {rows});
      at.ln_hh = add("weight_ln_hh", {rows});
      if (shape.has_c) {
        at.ln_c = add("weight_ln_c", {H});
        at.bias_ln_c = add("bias_ln_c", {H});
      }
    }
    if (config.learn_initial_state) {
      at.h0 = add("h0", {R});
      if (shape.has_c) at.c0 = add("c0", {H});
    }
    offsets.push_back(at);
  }
  if (config.output) {
    params.add("readout.weight", {config.output, config.features()});
    params.add("readout.bias", {config.output});
  }
  return offsets;
}

}  // namespace

std::vector<Param> tensors_of(const NetworkConfig& config) {
  Params<double> params;
  add_tensors(config, params);
  return params.tensors();
}

template <class T>
Network<T>::Network(const NetworkConfig& config)
    : config_(config),
      stack_(stack_config(config), add_tensors(config, params_)),
      snapshot_(std::make_shared<Snapshot<T>>()) {
  params_.allocate();
  params_.before_change = [this] { keep_for_tapes(); };
  embedding_ = params_.find("embedding.weight");
  readout_weight_ = params_.find("readout.weight");
  readout_bias_ = params_.find("readout.bias");
}

// Runs before the parameters change: stores the weights for the existing tapes in their snapshot.
// After a backward pass the packed weights exist already and are only retained.
template <class T>
void Network<T>::keep_for_tapes() {
  if (snapshot_.use_count() == 1) return;
  auto next = std::make_shared<Snapshot<T>>();
  Snapshot<T> kept;
  kept.packed = bptt::packed_backward(stack_, params_.data(), params_.version());
  if (config_.output) kept.readout = packed_readout(Way::back);
  if (config_.output && config_.compute != Compute::as_stored) {
    kept.readout_weight = Buffer<T>(readout_weight_->count);
    std::copy_n(params_.data(*readout_weight_), readout_weight_->count, kept.readout_weight.data());
  }
  *snapshot_ = std::move(kept);
  snapshot_ = std::move(next);
}

template <class T>
std::shared_ptr<const Packed<T>> Network<T>::packed_backward(const Tape<T>& tape) const {
  const Snapshot<T>* const kept = past(tape);
  return kept ? kept->packed : bptt::packed_backward(stack_, params_.data(), params_.version());
}

template <class T>
std::shared_ptr<const PackedReadout<T>> Network<T>::packed_readout_backward(
    const Tape<T>& tape) const {
  const Snapshot<T>* const kept = past(tape);
  return kept ? kept->readout : packed_readout(Way::back);
}

template <class T>
const T* Network<T>::readout_row(const Tape<T>& tape, int64_t output, Buffer<T>& scratch) const {
  const int64_t row = config_.features();
  const Snapshot<T>* const kept = past(tape);
  if (!kept) return params_.data(*readout_weight_) + output * row;
  if (kept->readout_weight.count()) return kept->readout_weight.data() + output * row;
  scratch.reserve(row);
  unpack_row(kernels_of<T>(*kept->readout->key.table), kept->readout->weight.data(), config_.output,
             row, output, scratch.data());
  return scratch.data();
}

template <class T>
void Network<T>::clear_padding(const Order& order, const ForwardCall<T>& call) const {
  for (int64_t n = 0; !config_.last_only && n < order.batch(); ++n) {
    for (int64_t t = order.length(n); t < call.sequence.steps; ++t)
      std::fill_n(output_at(call, t, order.sequence(n)), config_.output, T(0));
  }
}

template <class T>
std::unique_ptr<Tape<T>> Network<T>::new_tape(const Sequence<T>& sequence, bool remember) const {
  return bptt::new_tape(stack_, sequence, table() != nullptr, remember);
}

template <class T>
void Network<T>::forward(const ForwardCall<T>& wanted, const ReadoutForward<T>& readout,
                         Tape<T>& tape) const {
  ForwardCall<T> call = wanted;
  call.parameters = params_.data();
  call.version = params_.version();
  call.table = call.sequence.tokens ? table() : nullptr;
  call.ends = config_.reads_ends();
  std::unique_ptr<ReadoutForwardPass<T>> pass;
  if (config_.output) call.y = nullptr;
  if (config_.output && readout.each_row) {  // otherwise only the states are needed
    pass = std::make_unique<ReadoutForwardPass<T>>(*this, readout, tape);
    call.after_block = [&pass](const Team& team, const Block<T>& block) {
      pass->block(team, block);
    };
  }
  walk_forward(stack_, call, tape);
}

template <class T>
void Network<T>::backward(const BackwardCall<T>& wanted, const ReadoutBackward<T>& readout,
                          const Tape<T>& tape) const {
  BackwardCall<T> call = wanted;
  call.packed = packed_backward(tape);
  call.parameter_count = params_.count();
  call.ends = config_.reads_ends();
  if (call.gradients && tape.tokens() && embedding_)
    call.table_gradient = call.gradients + embedding_->offset;
  if (call.gradients && !call.accumulate)
    std::fill(call.gradients, call.gradients + params_.count(), T(0));
  std::unique_ptr<ReadoutBackwardPass<T>> pass;
  if (config_.output) call.dy = nullptr;
  if (config_.output && (readout.kept || readout.each_row)) {
    pass = std::make_unique<ReadoutBackwardPass<T>>(*this, readout, packed_readout_backward(tape),
                                                    tape, call.gradients != nullptr,
                                                    shard_count(tape.batch(), params_.count()));
    call.before_block = [&pass](const Team& team, const Block<T>& block, T* dy) {
      return pass->block(team, block, dy);
    };
  }
  walk_backward(stack_, call, tape);
  if (call.gradients) params_.restrict_gradient(call.gradients);
}

template <class T>
void Network<T>::forward(const ForwardCall<T>& call, std::unique_ptr<Tape<T>>* tape) const {
  std::unique_ptr<Tape<T>> own = new_tape(call.sequence, tape != nullptr);
  ReadoutForward<T> readout;
  TargetRows targets;
  if (config_.output && call.y) {
    clear_padding(own->order(), call);
    targets = target_rows(own->order(), config_.last_only, nullptr);
    readout.targets = &targets;
    readout.each_row = [&call, this](int64_t, int64_t t, int64_t n, const T* out) {
      std::memcpy(output_at(call, t, n), out, size_t(config_.output) * sizeof(T));
    };
  }
  forward(call, readout, *own);
  if (!tape) return;
  own->hold(snapshot_);
  *tape = std::move(own);
}

template <class T>
void Network<T>::backward(const BackwardCall<T>& call, const Tape<T>& tape) const {
  ReadoutBackward<T> readout;
  TargetRows targets;
  if (config_.output && call.dy) {
    targets = target_rows(tape.order(), config_.last_only, nullptr);
    readout.targets = &targets;
    readout.each_row = [&call, this](int64_t, int64_t t, int64_t n, T* dout) {
      const int64_t at = (config_.last_only ? 0 : t * call.dy_t) + n * call.dy_n;
      std::memcpy(dout, call.dy + at, size_t(config_.output) * sizeof(T));
    };
  }
  backward(call, readout, tape);
}

template class Network<float>;
template class Network<double>;

}  // namespace bptt
