#include "bindings/options.h"

namespace bindings {
namespace {

// Each visitor names the fields of a struct once, for both directions.
template <class Visit>
void fields(bptt_layer_options& o, const Visit& visit) {
  visit("cell", o.cell);
  visit("nonlinearity", o.nonlinearity);
  visit("dtype", o.dtype);
  visit("compute", o.compute);
  visit("input_size", o.input_size);
  visit("hidden_size", o.hidden_size);
  visit("num_layers", o.num_layers);
  visit("bias", o.bias);
  visit("init", o.init);
  visit("gain", o.init_gain);
  visit("forget_bias", o.forget_bias);
  visit("seed", o.seed);
  visit("bidirectional", o.bidirectional);
  visit("layer_norm", o.layer_norm);
  visit("peephole", o.peephole);
  visit("coupled", o.coupled);
  visit("reset_before", o.reset_before);
  visit("variational", o.variational);
  visit("proj_size", o.proj_size);
  visit("alpha", o.alpha);
  visit("noise", o.noise);
  visit("dale", o.dale);
  visit("dropout", o.dropout);
  visit("recurrent_dropout", o.recurrent_dropout);
  visit("zoneout", o.zoneout);
  visit("zoneout_c", o.zoneout_c);
  visit("spectral_radius", o.spectral_radius);
  visit("time_scale", o.time_scale);
}

template <class Visit>
void fields(bptt_optimizer_options& o, const Visit& visit) {
  visit("algorithm", o.algorithm);
  visit("lr", o.lr);
  visit("momentum", o.momentum);
  visit("beta1", o.beta1);
  visit("beta2", o.beta2);
  visit("eps", o.eps);
  visit("weight_decay", o.weight_decay);
  visit("decay_biases", o.decay_biases);
  visit("nesterov", o.nesterov);
  visit("amsgrad", o.amsgrad);
  visit("centered", o.centered);
  visit("rmsprop_alpha", o.rmsprop_alpha);
  visit("rmsprop_form", o.rmsprop_form);
}

template <class Visit>
void fields(bptt_model_options& o, const Visit& visit) {
  visit("vocab_size", o.vocab_size);
  visit("embedding_size", o.embedding_size);
  visit("output_size", o.output_size);
  visit("loss", o.loss);
  visit("targets", o.targets);
  visit("reduction", o.reduction);
  visit("clip_norm", o.clip_norm);
  visit("clip_tensor_norm", o.clip_tensor_norm);
  visit("clip_value", o.clip_value);
  visit("clip_step", o.clip_step);
  visit("clip_step_norm", o.clip_step_norm);
  visit("truncation_k1", o.truncation_k1);
  visit("truncation_k2", o.truncation_k2);
  visit("omega", o.omega);
  visit("batch_first", o.batch_first);
  visit("label_smoothing", o.label_smoothing);
  visit("ignore_index", o.ignore_index);
  visit("nonfinite", o.nonfinite);
}

template <class Visit>
void fields(Options& o, const Visit& visit) {
  fields(o.layer, visit);
  fields(o.model, visit);
  fields(o.optimizer, visit);
}

struct Read {
  const py::dict& from;
  template <class Field>
  void operator()(const char* name, Field& field) const {
    if (!from.contains(name)) return;
    if constexpr (std::is_enum_v<Field>) {
      field = static_cast<Field>(py::cast<int32_t>(from[name]));
    } else {
      field = py::cast<Field>(from[name]);
    }
  }
};

struct Write {
  py::dict& to;
  template <class Field>
  void operator()(const char* name, Field& field) const {
    if constexpr (std::is_enum_v<Field>) {
      to[name] = static_cast<int32_t>(field);
    } else {
      to[name] = field;
    }
  }
};

}  // namespace

void read_options(const py::dict& from, bptt_layer_options& to) { fields(to, Read{from}); }
void read_options(const py::dict& from, bptt_optimizer_options& to) { fields(to, Read{from}); }
Flat read_options(const py::dict& from, Options& to) {
  fields(to, Read{from});
  Flat weights;
  if (from.contains("class_weights")) {
    weights = take_flat(12, from["class_weights"], to.model.output_size, {"Model", ""},
                        "class_weights");
  }
  to.model.class_weights = static_cast<const double*>(weights.data);
  return weights;
}

py::dict write_options(const Options& from) {
  Options copy = from;
  py::dict options;
  fields(copy, Write{options});
  options["class_weights"] = py::none();
  if (from.model.class_weights) {
    py::tuple weights(static_cast<size_t>(from.model.output_size));
    for (int64_t i = 0; i < from.model.output_size; ++i)
      weights[static_cast<size_t>(i)] = from.model.class_weights[i];
    options["class_weights"] = weights;
  }
  return options;
}

}  // namespace bindings
