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

// Adds all tensors in their order: embedding, layers from below, each direction, readout.
template <class T>
std::vector<LayerOffsets> add_tensors(const NetworkConfig& config, Params<T>& params) {
  const int64_t H = config.hidden, R = config.state(),
                rows = checked_count(config.shape().gates, H);
  if (config.embedding) params.add("embedding.weight", {config.input, config.embedding});
  std::vector<LayerOffsets> offsets;
  for (int64_t walk = 0; walk < config.walks(); ++walk) {
    const int64_t l = walk / config.directions();
    const std::string suffix =
        "_l" + std::to_string(l) + (walk % config.directions() ? "_reverse" : "");
    auto add = [&](const char* name, std::vector<int64_t> shape) {
      params.add(config.prefix + name + suffix, std::move(shape));
      return params.tensors().back().offset;
    };
    LayerOffsets at;
    at.weight_ih = add("weight_ih", {rows, l ? config.features() : stack_config(config).input});
    at.weight_hh = add("weight_hh", {rows, R});
    if (config.bias) {
      at.bias_ih = add("bias_ih", {rows});
      at.bias_hh = add("bias_hh", {rows});
    }
    if (config.projection) at.weight_hr = add("weight_hr", {R, H});
    if (config.peephole) at.peephole = add("weight_peephole", {config.shape().peepholes * H});
    if (config.layer_norm) {
      at.ln_ih = add("weight_ln_ih", {rows});
      at.ln_hh = add("weight_ln_hh", {rows});
      if (config.cell == Cell::lstm) {
        at.ln_c = add("weight_ln_c", {H});
        at.bias_ln_c = add("bias_ln_c", {H});
      }
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

// Before the parameters change: the tapes that were made with them get what they will read. If these
// went backward already, or one of them did, it is packed already and only has to be held.
template <class T>
void Network<T>::keep_for_tapes() {
  if (snapshot_.use_count() == 1) return;
  auto next = std::make_shared<Snapshot<T>>();
  Snapshot<T> kept;
  kept.packed = stack_.packed_backward(params_.data(), params_.version());
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
  return kept ? kept->packed : stack_.packed_backward(params_.data(), params_.version());
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
void Network<T>::clear_padding(const Order& order, int64_t steps, const Outputs<T>& outputs) const {
  for (int64_t n = 0; !config_.last_only && n < order.batch(); ++n) {
    for (int64_t t = order.length(n); t < steps; ++t)
      std::fill_n(output_at(outputs, t, order.sequence(n)), config_.output, T(0));
  }
}

template <class T>
std::unique_ptr<Tape<T>> Network<T>::new_tape(const Sequence<T>& sequence, bool remember) const {
  return stack_.new_tape(sequence, table() != nullptr, remember);
}

template <class T>
void Network<T>::forward(const Sequence<T>& sequence, const Outputs<T>& outputs,
                         const ReadoutForward<T>& readout, Tape<T>& tape) const {
  ForwardCall<T> call{};
  call.parameters = params_.data();
  call.version = params_.version();
  call.sequence = &sequence;
  call.table = sequence.tokens ? table() : nullptr;
  call.hn = outputs.hn;
  call.cn = outputs.cn;
  call.ends = config_.reads_ends();
  if (!config_.output) {
    call.y = outputs.y;
    call.y_t = outputs.y_t;
    call.y_n = outputs.y_n;
    stack_.forward(call, tape);
    return;
  }
  if (!readout.each_row) {  // only states are asked for
    stack_.forward(call, tape);
    return;
  }
  ReadoutForwardPass<T> pass(*this, readout, tape);
  call.after_block = [&pass](const Team& team, const Block<T>& block) { pass.block(team, block); };
  stack_.forward(call, tape);
}

template <class T>
void Network<T>::backward(const Tape<T>& tape, const Backward<T>& in,
                          const ReadoutBackward<T>& readout) const {
  BackwardCall<T> call{};
  call.packed = packed_backward(tape);
  call.dhn = in.dhn;
  call.dcn = in.dcn;
  call.ends = config_.reads_ends();
  call.clip_step = in.clip_step;
  call.clip_step_norm = in.clip_step_norm;
  call.k1 = in.k1;
  call.k2 = in.k2;
  call.omega = in.omega;
  call.omega_value = in.omega_value;
  call.parameter_count = params_.count();
  call.gradients = in.gradients;
  const bool table = in.gradients && tape.tokens() && embedding_;
  call.table_gradient = table ? in.gradients + embedding_->offset : nullptr;
  call.dx = in.dx;
  call.dx_t = in.dx_t;
  call.dx_n = in.dx_n;
  call.dh0 = in.dh0;
  call.dc0 = in.dc0;
  call.flow = in.flow;
  call.flow_c = in.flow_c;
  call.flow_a = in.flow_a;
  FlowRecord<T> record;
  if (in.detail) {
    record = stack_.new_record(tape);
    call.record = &record;
  }
  if (in.gradients && !in.accumulate) std::fill(in.gradients, in.gradients + params_.count(), T(0));

  std::unique_ptr<ReadoutBackwardPass<T>> pass;
  if (!config_.output) {
    call.dy = in.dy;
    call.dy_t = in.dy_t;
    call.dy_n = in.dy_n;
  } else if (readout.kept || readout.each_row) {
    pass = std::make_unique<ReadoutBackwardPass<T>>(
        *this, readout, packed_readout_backward(tape), tape, in.gradients != nullptr,
        stack_.shard_count(tape.batch(), params_.count()));
    call.before_block = [&pass](const Team& team, const Block<T>& block, T* dy) {
      return pass->block(team, block, dy);
    };
  }
  stack_.backward(call, tape);
  if (in.detail) stack_.flow_detail(record, tape, *in.detail);
  if (!in.gradients) return;
  for (const Param& tensor : params_.tensors()) {
    if (tensor.frozen) std::fill_n(in.gradients + tensor.offset, tensor.count, T(0));
  }
}

template <class T>
void Network<T>::forward(const Sequence<T>& sequence, const Outputs<T>& outputs,
                         std::unique_ptr<Tape<T>>* tape) const {
  std::unique_ptr<Tape<T>> own = new_tape(sequence, tape != nullptr);
  ReadoutForward<T> readout;
  TargetRows targets;
  if (config_.output && outputs.y) {
    clear_padding(own->order(), sequence.steps, outputs);
    targets = target_rows(own->order(), config_.last_only, nullptr);
    readout.targets = &targets;
    readout.each_row = [&outputs, this](int64_t, int64_t t, int64_t n, const T* out) {
      std::memcpy(output_at(outputs, t, n), out, size_t(config_.output) * sizeof(T));
    };
  }
  forward(sequence, outputs, readout, *own);
  if (!tape) return;
  own->hold(snapshot_);
  *tape = std::move(own);
}

template <class T>
void Network<T>::backward(const Tape<T>& tape, const Backward<T>& call) const {
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
  backward(tape, call, readout);
}

template <class T>
void Network<T>::walk_seeds(const Tape<T>& tape, SeedsCall<T> call, const int64_t* outputs) const {
  const int64_t S = int64_t(call.times.size()), row = config_.features(), O = config_.output;
  const T* const given = call.dy;
  Buffer<T> dy, scratch;
  if (O || !given) {
    dy = Buffer<T>::zeros(checked_count(S, row));
    for (int64_t s = 0; s < S; ++s) {
      T* own = dy.data() + s * row;
      if (!O) {
        own[outputs[s]] = 1;
      } else if (!given) {
        std::copy_n(readout_row(tape, outputs[s], scratch), row, own);
      } else {
        for (int64_t o = 0; o < O; ++o) {
          const T* weights = readout_row(tape, o, scratch);
          for (int64_t i = 0; i < row; ++i) own[i] += given[s * O + o] * weights[i];
        }
      }
    }
    call.dy = dy.data();
  }
  call.packed = packed_backward(tape);
  call.ends = config_.reads_ends();
  stack_.walk_seeds(call, tape);
}

template class Network<float>;
template class Network<double>;

}  // namespace bptt
