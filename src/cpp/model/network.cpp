#include "model/network.h"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace bptt {
namespace {

StackConfig stack_config(const NetworkConfig& config) {
  return {static_cast<const LayerConfig&>(config),
          config.embedding ? config.embedding : config.input};
}

// Adds all tensors in their order: embedding, layers from below, readout.
template <class T>
std::vector<LayerOffsets> add_tensors(const NetworkConfig& config, Params<T>& params) {
  const int64_t H = config.hidden, rows = checked_count(cell_shape(config.cell).gates, H);
  if (config.embedding) params.add("embedding.weight", {config.input, config.embedding});
  std::vector<LayerOffsets> offsets;
  for (int64_t l = 0; l < config.layers; ++l) {
    auto add = [&](const char* name, std::vector<int64_t> shape) {
      params.add(config.prefix + name + std::to_string(l), std::move(shape));
      return params.tensors().back().offset;
    };
    LayerOffsets at{0, 0, -1, -1};
    at.weight_ih = add("weight_ih_l", {rows, l ? H : stack_config(config).input});
    at.weight_hh = add("weight_hh_l", {rows, H});
    if (config.bias) {
      at.bias_ih = add("bias_ih_l", {rows});
      at.bias_hh = add("bias_hh_l", {rows});
    }
    offsets.push_back(at);
  }
  if (config.output) {
    params.add("readout.weight", {config.output, H});
    params.add("readout.bias", {config.output});
  }
  params.allocate();
  return offsets;
}

// Which rows of a block are target rows: `count` from `offset` on.
struct TargetRows {
  int64_t offset, count;
};
template <class T>
TargetRows target_rows_of(const Block<T>& block, int64_t steps, bool last_only) {
  const int64_t sequences = block.shard.end - block.shard.begin;
  if (!last_only) return {0, block.rows};
  if (block.last == steps) return {block.rows - sequences, sequences};
  return {0, 0};
}

// Which target row of the batch a row of the block is.
template <class T>
int64_t target_index(const Block<T>& block, int64_t row, int64_t batch, bool last_only) {
  const int64_t sequences = block.shard.end - block.shard.begin;
  const int64_t step = last_only ? 0 : block.first + row / sequences;
  return step * batch + block.shard.begin + row % sequences;
}

}  // namespace

template <class T>
Network<T>::Network(const NetworkConfig& config)
    : config_(config), stack_(stack_config(config), add_tensors(config, params_)) {
  embedding_ = params_.find("embedding.weight");
  readout_weight_ = params_.find("readout.weight");
  readout_bias_ = params_.find("readout.bias");
}

template <class T>
std::shared_ptr<const PackedReadout<T>> Network<T>::packed_readout() const {
  const KernelTable* table = active_kernels();
  const std::lock_guard<std::mutex> guard(mutex_);
  const uint64_t version = params_.version();
  if (packed_ && packed_->version == version && packed_->table == table) return packed_;
  auto packed = packed_ && packed_.use_count() == 1 ? std::move(packed_)
                                                    : std::make_shared<PackedReadout<T>>();
  packed_.reset();
  std::atomic_thread_fence(std::memory_order_acquire);  // behind the last other holder's reads
  const Kernels<T>& kernels = kernels_of<T>(*table);
  const int64_t H = config_.hidden, O = config_.output;
  packed->forward.reserve(packed_size(kernels, H, O, 1));
  packed->backward.reserve(packed_size(kernels, O, H, 1));
  packed->bias.reserve(padded_plane<T>(O));
  const T* weight = params_.data(*readout_weight_);
  run_team(stack_.team_size(kBlockRows), [&](const Team& team) {
    const int64_t to_output = panel_count(kernels, O), to_hidden = panel_count(kernels, H);
    kernels.pack(PackArgs<T>{weight, 1, H, 0, O, 1, H, 0, H, team.begin(to_output),
                             team.end(to_output), packed->forward.data()});
    kernels.pack(PackArgs<T>{weight, H, 1, 0, H, 1, O, 0, O, team.begin(to_hidden),
                             team.end(to_hidden), packed->backward.data()});
  });
  std::memcpy(packed->bias.data(), params_.data(*readout_bias_), size_t(O) * sizeof(T));
  std::fill(packed->bias.data() + O, packed->bias.data() + padded_plane<T>(O), T(0));
  packed->version = version;
  packed->table = table;
  packed_ = packed;
  return packed;
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
  tape.stamp(call.version);
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
  const auto packed = packed_readout();
  const Kernels<T>& kernels = kernels_of<T>(*packed->table);
  const int64_t N = sequence.batch, O = config_.output, row = output_row(),
                state_row = stack_.geometry().state_row;
  Buffer<T> block_out;
  if (!readout.keep)
    block_out = Buffer<T>(checked_count(std::min(sequence.steps, block_steps(N)), N, row));
  call.after_block = [&](const Team& team, const Block<T>& block) {
    const TargetRows rows = target_rows_of(block, sequence.steps, config_.last_only);
    const int64_t index = target_index(block, rows.offset, N, config_.last_only);
    const int64_t r0 = team.begin(rows.count), r1 = team.end(rows.count);
    if (r0 == r1) return;
    T* out = readout.keep ? readout.keep + index * row : block_out.data();
    ProductArgs<T> p{};
    p.a = block.top + (rows.offset + r0) * state_row;
    p.a_row = state_row;
    p.segments = 1;
    p.segment_length = config_.hidden;
    p.b = packed->forward.data();
    p.rows = r1 - r0;
    p.units = O;
    p.groups = 1;
    p.c = out + r0 * row;
    p.c_row = row;
    p.bias = packed->bias.data();
    p.panel_end = panel_count(kernels, O);
    kernels.product(p);
    for (int64_t r = r0; r < r1; ++r) readout.each_row(index + r, out + r * row);
  };
  stack_.forward(call, tape);
}

// dL/d output of a block's target rows into dy and the readout's gradients; false if there are
// none.
template <class T>
bool Network<T>::readout_backward(const Team& team, const Block<T>& block, const Tape<T>& tape,
                                  const Kernels<T>& kernels, const PackedReadout<T>& packed,
                                  const ReadoutBackward<T>& readout, T* dout, T* panels,
                                  T* dy) const {
  const int64_t N = tape.batch(), H = config_.hidden, O = config_.output;
  const int64_t row = output_row(), state_row = stack_.geometry().state_row;
  const TargetRows rows = target_rows_of(block, tape.steps(), config_.last_only);
  if (rows.count == 0) return false;
  const int64_t r0 = team.begin(rows.count), r1 = team.end(rows.count);
  for (int64_t r = r0; r < r1; ++r) {
    const int64_t index = target_index(block, rows.offset + r, N, config_.last_only);
    if (readout.kept) {
      std::memcpy(dout + r * row, readout.kept + index * row, size_t(O) * sizeof(T));
    } else {
      readout.each_row(index, dout + r * row);
    }
  }
  for (int64_t r = team.begin(rows.offset); r < team.end(rows.offset); ++r) {
    std::fill_n(dy + r * state_row, H, T(0));
  }
  if (r0 < r1) {
    ProductArgs<T> p{};
    p.a = dout + r0 * row;
    p.a_row = row;
    p.segments = 1;
    p.segment_length = O;
    p.b = packed.backward.data();
    p.rows = r1 - r0;
    p.units = H;
    p.groups = 1;
    p.c = dy + (rows.offset + r0) * state_row;
    p.c_row = state_row;
    p.panel_end = panel_count(kernels, H);
    kernels.product(p);
  }
  T* const gradients = block.shard.gradients;
  if (!gradients) return true;
  const int64_t sequences = block.shard.end - block.shard.begin;
  Block<T> targets = block;
  targets.rows = rows.count;
  pack_rows(kernels, team, targets, N, block.top + rows.offset / sequences * N * state_row,
            state_row, H, panels);
  team.wait();
  const int64_t m0 = team.begin(O), m1 = team.end(O);
  kernels.outer(OuterArgs<T>{dout + m0, row, rows.count, panels, m1 - m0, H,
                             gradient_of(gradients, readout_weight_) + m0 * H, H});
  kernels.add_column_sums(dout + m0, row, rows.count, m1 - m0,
                          gradient_of(gradients, readout_bias_) + m0);
  return true;
}

template <class T>
void Network<T>::backward(const Tape<T>& tape, const Backward<T>& in,
                          const ReadoutBackward<T>& readout) const {
  BackwardCall<T> call{};
  call.parameters = params_.data();
  call.version = params_.version();
  call.dhn = in.dhn;
  call.dcn = in.dcn;
  call.clip_step = in.clip_step;
  call.clip_step_norm = in.clip_step_norm;
  call.parameter_count = params_.count();
  call.gradients = in.gradients;
  call.table_gradient = tape.tokens() ? gradient_of(in.gradients, embedding_) : nullptr;
  call.dx = in.dx;
  call.dx_t = in.dx_t;
  call.dx_n = in.dx_n;
  call.dh0 = in.dh0;
  call.dc0 = in.dc0;
  call.flow = in.flow;
  call.flow_c = in.flow_c;
  if (in.gradients && !in.accumulate) std::fill(in.gradients, in.gradients + params_.count(), T(0));

  std::shared_ptr<const PackedReadout<T>> packed;
  struct Scratch {
    Buffer<T> dout, panels;  // of a block
  };
  std::vector<Scratch> scratch;
  if (!config_.output) {
    call.dy = in.dy;
    call.dy_t = in.dy_t;
    call.dy_n = in.dy_n;
  } else if (readout.kept || readout.each_row) {
    packed = packed_readout();
    const Kernels<T>& kernels = kernels_of<T>(*packed->table);
    const int64_t N = tape.batch(), H = config_.hidden;
    const int64_t parts = stack_.shard_count(N, params_.count());
    const int64_t most = (N + parts - 1) / parts;  // sequences of a part
    const int64_t rows = checked_count(std::min(tape.steps(), block_steps(most) + 1), most);
    for (int64_t i = 0; i < parts; ++i) {
      scratch.push_back({Buffer<T>(checked_count(rows, output_row())),
                         Buffer<T>(in.gradients ? packed_size(kernels, rows, H, 1) : 0)});
    }
    call.before_block = [&](const Team& team, const Block<T>& block, T* dy) {
      return readout_backward(team, block, tape, kernels, *packed, readout,
                              scratch[size_t(block.shard.index)].dout.data(),
                              scratch[size_t(block.shard.index)].panels.data(), dy);
    };
  }
  stack_.backward(call, tape);
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
  if (config_.output && outputs.y) {
    const int64_t N = sequence.batch;
    readout.each_row = [&outputs, N, this](int64_t row, const T* out) {
      std::memcpy(outputs.y + row / N * outputs.y_t + row % N * outputs.y_n, out,
                  size_t(config_.output) * sizeof(T));
    };
  }
  forward(sequence, outputs, readout, *own);
  if (tape) *tape = std::move(own);
}

template <class T>
void Network<T>::backward(const Tape<T>& tape, const Backward<T>& call) const {
  ReadoutBackward<T> readout;
  if (config_.output && call.dy) {
    const int64_t N = tape.batch();
    readout.each_row = [&call, N, this](int64_t row, T* dout) {
      std::memcpy(dout, call.dy + row / N * call.dy_t + row % N * call.dy_n,
                  size_t(config_.output) * sizeof(T));
    };
  }
  backward(tape, call, readout);
}

template class Network<float>;
template class Network<double>;

}  // namespace bptt
