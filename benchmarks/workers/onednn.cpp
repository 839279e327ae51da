// onednn.cpp: the worker for oneDNN's recurrent primitives, one per layer, with packed weights. The
// weights are kept in oneDNN's plain layout [inputs, gates, H]. If they change from run to run, the
// timed run packs them. Gradients have the plain layout.

#include <cmath>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocol.h"

using dnnl::memory;
using Tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;
using Floats = std::vector<float>;

namespace {

constexpr auto kFloat = memory::data_type::f32;
constexpr auto kDirection = dnnl::rnn_direction::unidirectional_left2right;
constexpr double kClipNorm = 1;

float* data_of(const memory& m) { return static_cast<float*>(m.get_data_handle()); }
size_t count_of(const memory& m) { return m.get_desc().get_size() / sizeof(float); }

struct Copy {  // a copy from one layout to another
  memory from, to;
  dnnl::reorder primitive;
  Copy() = default;
  Copy(const memory& a, const memory& b) : from(a), to(b), primitive(a, b) {}
  void run(dnnl::stream& stream) { primitive.execute(stream, from, to); }
};

struct Layer {
  dnnl::primitive forward, backward;
  memory::desc layer_forward, iter_forward, workspace, layer_backward, iter_backward;
  memory::desc layer_gradient, iter_gradient;
  memory W, U, b;               // plain: [I, G, H], [H, G, H], [G or 4, H]
  memory Wf, Uf, Wb, Ub;        // packed
  memory dWp, dUp, dW, dU, db;  // in the primitive's layout; plain
  memory dh0, dc0;
  memory state[2][2];  // [before or after][h or c]; single steps swap before and after
  std::vector<Copy> pack_forward, pack_backward, unpack;
  Arguments arguments, back_arguments;
  Floats sets[2][3];  // [set of weights][W, U or b]
};

class Net {
 public:
  Net(const Item& item, const float* data);
  void change() { use(1 - current_); }
  void run();
  bool result(FILE* file);

 private:
  memory zeros(const memory::desc& desc) {
    memory m(desc, engine_);
    memset(m.get_data_handle(), 0, desc.get_size());
    return m;
  }
  memory filled(const memory::desc& desc, const float* from) {
    memory m(desc, engine_);
    memcpy(m.get_data_handle(), from, desc.get_size());
    return m;
  }
  int gate(int k) const { return gru_ ? (k == 2 ? 2 : 1 - k) : k; }  // oneDNN's to PyTorch's index
  void lay_out(Layer& layer, int which, const float* params, int64_t inputs);
  void use(int which);
  void make_primitives(Layer& layer, int64_t inputs);
  void make_layer(int k, const float* data, const Parts& parts);
  void all(std::vector<Copy>& copies) {
    for (auto& copy : copies) copy.run(stream_);
  }
  void train();
  void steps();
  void clip();
  void forward() {
    for (auto& layer : layers_) {
      if (changing_) all(layer.pack_forward);
      layer.forward.execute(stream_, layer.arguments);
    }
  }

  Item item_;
  bool lstm_, gru_, training_, changing_;
  int current_ = 0;
  int64_t T_;  // steps of a primitive: 1 for single steps
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  std::vector<Layer> layers_;
  std::vector<memory> values_, gradients_;  // x and y of each layer; dx and dy of each layer
  Floats x_, h0_, c0_;
};

Net::Net(const Item& item, const float* data)
    : item_(item),
      lstm_(!strcmp(item.cell, "lstm")),
      gru_(!strcmp(item.cell, "gru")),
      training_(!strncmp(item.job, "train", 5)),
      changing_(!strcmp(item.job, "train")),
      T_(strcmp(item.job, "step") ? item.T : 1) {
  const Parts parts = parts_of(&item);
  x_.assign(data + parts.x, data + parts.dy);
  h0_.assign(data + parts.h0, data + parts.c0);
  c0_.assign(data + parts.c0, data + parts.weights[0]);
  const memory::desc x({T_, item.N, item.I}, kFloat, Tag::tnc);
  const memory::desc y({T_, item.N, item.H}, kFloat, Tag::tnc);
  values_.push_back(filled(x, x_.data()));
  gradients_.push_back(zeros(x));
  for (int k = 0; k < item.L; ++k) {
    values_.push_back(zeros(y));
    gradients_.push_back(k + 1 < item.L ? zeros(y) : filled(y, data + parts.dy));
  }
  layers_.resize(size_t(item.L));
  for (int k = 0; k < item.L; ++k) make_layer(k, data, parts);
  use(0);
}

void Net::lay_out(Layer& layer, int which, const float* params, int64_t inputs) {
  const int64_t G = item_.gates, H = item_.H;
  const float *W = params, *U = W + G * H * inputs, *b_ih = U + G * H * H, *b_hh = b_ih + G * H;
  Floats &to_W = layer.sets[which][0], &to_U = layer.sets[which][1], &to_b = layer.sets[which][2];
  to_W.resize(static_cast<size_t>(inputs * G * H));
  to_U.resize(static_cast<size_t>(H * G * H));
  to_b.assign(static_cast<size_t>((gru_ ? 4 : G) * H), 0);
  for (int64_t g = 0; g < G; ++g) {
    for (int64_t o = 0; o < H; ++o) {
      const int64_t row = gate(static_cast<int>(g)) * H + o;
      for (int64_t i = 0; i < inputs; ++i) to_W[(i * G + g) * H + o] = W[row * inputs + i];
      for (int64_t i = 0; i < H; ++i) to_U[(i * G + g) * H + o] = U[row * H + i];
      const bool apart = gru_ && g == 2;  // the reset gate multiplies b_hn too
      to_b[g * H + o] = b_ih[row] + (apart ? 0 : b_hh[row]);
      if (apart) to_b[3 * H + o] = b_hh[row];
    }
  }
}

void Net::use(int which) {
  for (auto& layer : layers_) {
    const memory* plain[] = {&layer.W, &layer.U, &layer.b};
    for (int k = 0; k < 3; ++k) {
      memcpy(plain[k]->get_data_handle(), layer.sets[which][k].data(),
             layer.sets[which][k].size() * sizeof(float));
    }
    if (changing_) continue;  // the run packs them
    all(layer.pack_forward);
    all(layer.pack_backward);
  }
  stream_.wait();
  current_ = which;
}

void Net::make_primitives(Layer& layer, int64_t inputs) {
  const int64_t N = item_.N, G = item_.gates, H = item_.H;
  const auto kind =
      training_ ? dnnl::prop_kind::forward_training : dnnl::prop_kind::forward_inference;
  const auto back = dnnl::prop_kind::backward;
  const auto tanh = dnnl::algorithm::eltwise_tanh;
  const memory::desc x({T_, N, inputs}, kFloat, Tag::tnc), y({T_, N, H}, kFloat, Tag::tnc);
  const memory::desc s({1, 1, N, H}, kFloat, Tag::ldnc);
  const memory::desc b({1, 1, gru_ ? 4 : G, H}, kFloat, Tag::ldgo);
  const memory::desc W({1, 1, inputs, G, H}, kFloat, Tag::any),
      U({1, 1, H, G, H}, kFloat, Tag::any);
  const auto keep = [&](const auto& pd) {
    layer.forward = dnnl::primitive(pd);
    layer.layer_forward = pd.weights_layer_desc();
    layer.iter_forward = pd.weights_iter_desc();
    if (training_) layer.workspace = pd.workspace_desc();
  };
  const auto keep_back = [&](const auto& pd) {
    layer.backward = dnnl::primitive(pd);
    layer.layer_backward = pd.weights_layer_desc();
    layer.iter_backward = pd.weights_iter_desc();
    layer.layer_gradient = pd.diff_weights_layer_desc();
    layer.iter_gradient = pd.diff_weights_iter_desc();
  };
  if (lstm_) {
    const dnnl::lstm_forward::primitive_desc pd(engine_, kind, kDirection, x, s, s, W, U, b, y, s,
                                                s);
    keep(pd);
    if (training_) {
      keep_back(dnnl::lstm_backward::primitive_desc(engine_, back, kDirection, x, s, s, W, U, b, y,
                                                    s, s, x, s, s, W, U, b, y, s, s, pd));
    }
  } else if (gru_) {
    const dnnl::lbr_gru_forward::primitive_desc pd(engine_, kind, kDirection, x, s, W, U, b, y, s);
    keep(pd);
    if (training_) {
      keep_back(dnnl::lbr_gru_backward::primitive_desc(engine_, back, kDirection, x, s, W, U, b, y,
                                                       s, x, s, W, U, b, y, s, pd));
    }
  } else {
    const dnnl::vanilla_rnn_forward::primitive_desc pd(engine_, kind, tanh, kDirection, x, s, W, U,
                                                       b, y, s);
    keep(pd);
    if (training_) {
      keep_back(dnnl::vanilla_rnn_backward::primitive_desc(engine_, back, tanh, kDirection, x, s, W,
                                                           U, b, y, s, x, s, W, U, b, y, s, pd));
    }
  }
}

void Net::make_layer(int k, const float* data, const Parts& parts) {
  Layer& layer = layers_[size_t(k)];
  const int64_t N = item_.N, G = item_.gates, H = item_.H, inputs = k ? H : item_.I;
  const int64_t before = k ? G * H * (item_.I + H + 2) + (k - 1) * G * H * (2 * H + 2) : 0;
  make_primitives(layer, inputs);
  for (int which = 0; which < 2; ++which) {
    lay_out(layer, which, data + parts.weights[which] + before, inputs);
  }
  const memory::desc W({1, 1, inputs, G, H}, kFloat, Tag::ldigo),
      U({1, 1, H, G, H}, kFloat, Tag::ldigo);
  const memory::desc b({1, 1, gru_ ? 4 : G, H}, kFloat, Tag::ldgo);
  const memory::desc s({1, 1, N, H}, kFloat, Tag::ldnc);
  layer.W = zeros(W);
  layer.U = zeros(U);
  layer.b = zeros(b);
  layer.Wf = zeros(layer.layer_forward);
  layer.Uf = zeros(layer.iter_forward);
  layer.pack_forward = {Copy(layer.W, layer.Wf), Copy(layer.U, layer.Uf)};
  layer.state[0][0] = filled(s, h0_.data() + k * N * H);
  layer.state[0][1] = filled(s, c0_.data() + k * N * H);
  layer.state[1][0] = zeros(s);
  layer.state[1][1] = zeros(s);
  layer.arguments = {{DNNL_ARG_SRC_LAYER, values_[size_t(k)]},
                     {DNNL_ARG_SRC_ITER, layer.state[0][0]},
                     {DNNL_ARG_WEIGHTS_LAYER, layer.Wf},
                     {DNNL_ARG_WEIGHTS_ITER, layer.Uf},
                     {DNNL_ARG_BIAS, layer.b},
                     {DNNL_ARG_DST_LAYER, values_[size_t(k) + 1]},
                     {DNNL_ARG_DST_ITER, layer.state[1][0]}};
  if (lstm_) {
    layer.arguments[DNNL_ARG_SRC_ITER_C] = layer.state[0][1];
    layer.arguments[DNNL_ARG_DST_ITER_C] = layer.state[1][1];
  }
  if (!training_) return;
  layer.arguments[DNNL_ARG_WORKSPACE] = zeros(layer.workspace);
  layer.Wb = zeros(layer.layer_backward);
  layer.Ub = zeros(layer.iter_backward);
  layer.dWp = zeros(layer.layer_gradient);
  layer.dUp = zeros(layer.iter_gradient);
  layer.pack_backward = {Copy(layer.W, layer.Wb), Copy(layer.U, layer.Ub)};
  layer.dW = layer.dWp;
  layer.dU = layer.dUp;
  if (layer.dW.get_desc() != W) layer.unpack.emplace_back(layer.dWp, layer.dW = zeros(W));
  if (layer.dU.get_desc() != U) layer.unpack.emplace_back(layer.dUp, layer.dU = zeros(U));
  layer.db = zeros(b);
  layer.dh0 = zeros(s);
  layer.dc0 = zeros(s);
  Arguments back = {{DNNL_ARG_WEIGHTS_LAYER, layer.Wb},
                    {DNNL_ARG_WEIGHTS_ITER, layer.Ub},
                    {DNNL_ARG_DIFF_SRC_LAYER, gradients_[size_t(k)]},
                    {DNNL_ARG_DIFF_SRC_ITER, layer.dh0},
                    {DNNL_ARG_DIFF_WEIGHTS_LAYER, layer.dWp},
                    {DNNL_ARG_DIFF_WEIGHTS_ITER, layer.dUp},
                    {DNNL_ARG_DIFF_BIAS, layer.db},
                    {DNNL_ARG_DIFF_DST_LAYER, gradients_[size_t(k) + 1]},
                    {DNNL_ARG_DIFF_DST_ITER, zeros(s)}};
  if (lstm_) {
    back[DNNL_ARG_DIFF_SRC_ITER_C] = layer.dc0;
    back[DNNL_ARG_DIFF_DST_ITER_C] = zeros(s);
  }
  back.insert(layer.arguments.begin(), layer.arguments.end());  // does not replace entries
  layer.back_arguments = back;
}

void Net::train() {
  forward();
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    if (changing_) all(layer->pack_backward);
    for (memory* m : {&layer->dWp, &layer->dUp, &layer->db}) {
      memset(m->get_data_handle(), 0, m->get_desc().get_size());
    }
    layer->backward.execute(stream_, layer->back_arguments);
    all(layer->unpack);
  }
  stream_.wait();
  clip();
}

double square(const memory& m, size_t count) {
  const float* p = data_of(m);
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (size_t i = 0; i < count; ++i) sum += p[i] * p[i];
  return static_cast<double>(sum);
}

void Net::clip() {
  double sum = 0;
  for (const auto& layer : layers_) {
    for (const memory* m : {&layer.dW, &layer.dU, &layer.db}) sum += square(*m, count_of(*m));
    // PyTorch has two bias vectors, with equal gradients but for the GRU's n.
    sum += square(layer.db, gru_ ? 2 * size_t(item_.H) : count_of(layer.db));
  }
  const double norm = std::sqrt(sum);
  if (norm <= kClipNorm) return;
  const auto factor = static_cast<float>(kClipNorm / (norm + 1e-6));
  for (auto& layer : layers_) {
    for (const memory* m : {&layer.dW, &layer.dU, &layer.db}) {
      float* p = data_of(*m);
      const size_t count = count_of(*m);
      for (size_t i = 0; i < count; ++i) p[i] *= factor;
    }
  }
}

void Net::steps() {
  Layer& layer = layers_[0];
  memcpy(layer.state[0][0].get_data_handle(), h0_.data(), h0_.size() * sizeof(float));
  memcpy(layer.state[0][1].get_data_handle(), c0_.data(), c0_.size() * sizeof(float));
  Arguments swapped = layer.arguments;
  std::swap(swapped[DNNL_ARG_SRC_ITER], swapped[DNNL_ARG_DST_ITER]);
  if (lstm_) std::swap(swapped[DNNL_ARG_SRC_ITER_C], swapped[DNNL_ARG_DST_ITER_C]);
  for (long t = 0; t < item_.T; ++t) {
    values_[0].set_data_handle(x_.data() + t * item_.I);
    layer.forward.execute(stream_, t % 2 ? swapped : layer.arguments);
    stream_.wait();
  }
}

void Net::run() {
  if (training_) return train();
  if (T_ != item_.T) return steps();
  forward();
  stream_.wait();
}

bool Net::result(FILE* file) {
  std::vector<double> out;
  const auto append = [&](const memory& m) {
    out.insert(out.end(), data_of(m), data_of(m) + count_of(m));
  };
  use(0);
  run();
  if (!training_) {
    if (T_ == item_.T) {
      append(values_.back());
    } else {
      append(layers_[0].state[item_.T % 2][0]);
    }
    return fwrite(out.data(), sizeof(double), out.size(), file) == out.size();
  }
  const int64_t G = item_.gates, H = item_.H;
  for (auto& layer : layers_) {
    for (const memory* m : {&layer.dW, &layer.dU}) {
      const auto inputs = static_cast<int64_t>(count_of(*m)) / (G * H);
      for (int64_t row = 0; row < G * H; ++row) {
        const int64_t g = gate(static_cast<int>(row / H));  // `gate` is its own inverse
        for (int64_t i = 0; i < inputs; ++i) {
          out.push_back(data_of(*m)[(i * G + g) * H + row % H]);
        }
      }
    }
    for (int hidden = 0; hidden < 2; ++hidden) {
      for (int64_t row = 0; row < G * H; ++row) {
        const int64_t g = gate(static_cast<int>(row / H));
        out.push_back(data_of(layer.db)[(hidden && gru_ && g == 2 ? 3 : g) * H + row % H]);
      }
    }
  }
  append(gradients_[0]);
  for (auto& layer : layers_) append(layer.dh0);
  if (lstm_) {
    for (auto& layer : layers_) append(layer.dc0);
  }
  return fwrite(out.data(), sizeof(double), out.size(), file) == out.size();
}

std::unique_ptr<Net> net;

}  // namespace

static const char* worker_setup(const Item* item, const void* data) {
  net.reset();
  if (strcmp(item->dtype, "float32")) return "its recurrent primitives have no float64";
  if (!strcmp(item->job, "lm") || !strcmp(item->job, "minchar")) return "layers only";
  try {
    net = std::make_unique<Net>(*item, static_cast<const float*>(data));
  } catch (const dnnl::error& why) {
    static std::string text;
    text = why.what();
    return text.c_str();
  }
  return nullptr;
}
static void worker_change() { net->change(); }
static void worker_run() { net->run(); }
static int worker_result(FILE* file) { return net->result(file); }

int main() {
  const auto* v = dnnl_version();
  const std::string version =
      std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
  return worker_main(version.c_str());
}
