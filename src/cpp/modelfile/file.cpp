// file.cpp: serialisation of a model to bytes and back.
#include "modelfile/file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/pace.h"
#include "model/option_rules.h"
#include "modelfile/json.h"

namespace bptt {
namespace {

constexpr char kClassWeights[] = "loss.class_weights";
constexpr char kAlphas[] = "rnn.alphas";
const std::string kMaskPrefix = "mask.";
constexpr char kMaskType[] = "BOOL";
constexpr Extra::Type kExtraTypes[] = {Extra::Type::float32, Extra::Type::float64,
                                       Extra::Type::int64};
constexpr const char* dtype_text(Extra::Type type) {
  return type == Extra::Type::float32 ? "F32" : type == Extra::Type::float64 ? "F64" : "I64";
}
constexpr const char* dtype_text(Dtype dtype) { return dtype == Dtype::float32 ? "F32" : "F64"; }
// Returns the type of the user's tensors with this dtype; null if they cannot have it.
const Extra::Type* extra_type(const std::string& dtype) {
  const auto* type = std::find_if(std::begin(kExtraTypes), std::end(kExtraTypes),
                                  [&](Extra::Type known) { return dtype_text(known) == dtype; });
  return type == std::end(kExtraTypes) ? nullptr : type;
}
template <class T>
constexpr Dtype dtype_for() {
  return sizeof(T) == sizeof(float) ? Dtype::float32 : Dtype::float64;
}

// Returns the prefixes of the parameters' names in the names of their moments.
std::vector<std::string> moment_prefixes(const OptimizerConfig& config) {
  std::vector<std::string> prefixes;
  for (const char* name : moment_names_of(config))
    prefixes.push_back(std::string("optimizer.") + name + '.');
  return prefixes;
}

// Returns the names of the tensors that are frozen, or that are non-negative.
std::string names_to_json(const std::vector<Param>& tensors, bool Param::* which) {
  std::string json = "[";
  for (const Param& tensor : tensors) {
    if (!(tensor.*which)) continue;
    if (json.size() > 1) json += ',';
    json += json_string(tensor.name);
  }
  return json + ']';
}

// Returns the groups that differ from those of a new optimiser.
std::string groups_to_json(const std::vector<Param>& tensors,
                           const std::vector<ParamGroup>& groups) {
  std::string json = "{";
  for (size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].lr_scale == 1 && std::isnan(groups[i].weight_decay)) continue;
    if (json.size() > 1) json += ',';
    json += json_string(tensors[i].name) + ":[" + json_number(groups[i].lr_scale) + ',' +
            json_number(groups[i].weight_decay) + ']';
  }
  return json + '}';
}

// Returns the counters that differ from the optimiser's own, such as those of tensors that were
// frozen.
template <class T>
std::string tensor_steps_to_json(const std::vector<Param>& tensors, const Optimizer<T>& optimizer) {
  std::string json = "{";
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t steps = optimizer.tensor_steps()[i];
    if (steps == optimizer.steps()) continue;
    if (json.size() > 1) json += ',';
    json += json_string(tensors[i].name) + ':' + std::to_string(steps);
  }
  return json + '}';
}

// ---- reading ----

// The metadata of a file. Each entry is taken once.
class Metadata {
 public:
  explicit Metadata(const SafetensorsHeader& header) {
    for (const auto& [key, value] : header.metadata) entries_.emplace(key, value);
    for (const char* key : {"format", "format_version", "sha256", "library_version"}) text(key);
  }
  std::string text(const std::string& key) {
    auto node = entries_.extract(key);
    if (node.empty()) refuse_file("a model file without the metadata '" + key + "'");
    return std::move(node.mapped());
  }
  std::string text_or(const std::string& key, const char* missing) {
    return entries_.contains(key) ? text(key) : missing;
  }
  int64_t count(const std::string& key) {
    const std::string digits = text(key);
    int64_t value = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || value < 0 ||
        value > kMostSteps) {
      refuse_file("a model file whose '" + key + "' is not a count");
    }
    return value;
  }
  // Returns the remaining entries, which must be the user's.
  std::map<std::string, std::string> users() {
    std::map<std::string, std::string> result;
    for (auto& [key, value] : entries_) {
      if (!key.starts_with("user.") || key.size() == 5)
        refuse_file("a model file with the unknown metadata '" + key + "'");
      result.emplace(key.substr(5), std::move(value));
    }
    return result;
  }

 private:
  std::map<std::string, std::string> entries_;
};

constexpr std::string_view kExtraPrefix = "extra.";

// The tensors that a header lists. Each is expected once.
class Tensors {
 public:
  explicit Tensors(const SafetensorsHeader& header) {
    for (const StoredTensor& tensor : header.tensors) entries_.emplace(tensor.name, &tensor);
  }
  void expect(const std::string& name, const char* dtype, const std::vector<int64_t>& shape) {
    const auto node = entries_.extract(name);
    if (node.empty()) refuse_file("a model file without the tensor '" + name + "'");
    const StoredTensor& tensor = *node.mapped();
    if (tensor.dtype != dtype)
      refuse_file("a model file whose tensor '" + name + "' has the dtype " + tensor.dtype);
    if (tensor.shape != shape)
      refuse_file("a model file whose tensor '" + name +
                  "' has another shape than its options say");
  }
  bool has(const std::string& name) const { return entries_.contains(name); }
  // Requires that the remaining tensors are the user's.
  void expect_extras() const {
    for (const auto& [name, tensor] : entries_) {
      if (!name.starts_with(kExtraPrefix) || name.size() == kExtraPrefix.size())
        refuse_file("a model file with the unknown tensor '" + std::string(name) + "'");
      if (!extra_type(tensor->dtype)) {
        refuse_file("a model file whose tensor '" + std::string(name) + "' has the dtype " +
                    tensor->dtype);
      }
    }
  }

 private:
  std::map<std::string_view, const StoredTensor*> entries_;
};

// The data of a file whose tensors have been checked.
class TensorData {
 public:
  TensorData(const SafetensorsHeader& header, const std::byte* bytes)
      : data_(bytes + header.data_begin) {
    for (const StoredTensor& tensor : header.tensors) entries_.emplace(tensor.name, &tensor);
  }
  bool has(const std::string& name) const { return entries_.contains(name); }
  template <class T>
  void copy(const std::string& name, T* values) {
    const StoredTensor& tensor = *entries_.at(name);
    auto* const to = reinterpret_cast<std::byte*>(values);
    in_pieces(static_cast<size_t>(tensor.end - tensor.begin), pace_,
              [&](size_t begin, size_t count) {
                std::memcpy(to + begin, data_ + tensor.begin + begin, count);
              });
  }
  std::map<std::string, Extra> extras() {
    std::map<std::string, Extra> result;
    for (const auto& [name, tensor] : entries_) {
      if (!name.starts_with(kExtraPrefix)) continue;
      Extra extra{*extra_type(tensor->dtype), tensor->shape, {}};
      const std::byte* const from = data_ + tensor->begin;
      const auto size = static_cast<size_t>(tensor->end - tensor->begin);
      extra.bytes.reserve(size);
      in_pieces(size, pace_, [&](size_t begin, size_t count) {
        extra.bytes.insert(extra.bytes.end(), from + begin, from + begin + count);
      });
      result.emplace(name.substr(kExtraPrefix.size()), std::move(extra));
    }
    return result;
  }

 private:
  std::map<std::string_view, const StoredTensor*> entries_;
  const std::byte* data_;
  Pace pace_;
};

// Refuses options that need more data than the file contains, before memory of that size is
// allocated. Computes in double precision, which does not overflow here; the exact shapes are
// compared later.
void check_size(const ModelConfig& config, Dtype dtype, const SafetensorsHeader& header) {
  const NetworkConfig& network = config.network;
  const double H = double(network.hidden), L = double(network.layers), O = double(network.output),
               I = double(network.input), D = double(network.directions()),
               R = double(network.state());
  const bool recurrent = network.shape().recurrent();
  const double tensors = (recurrent ? 2 : 1) * L;  // W_ih and W_hh of every direction
  const double E = double(network.embedding), first = E > 0 ? E : I;
  const double columns =
      first + (recurrent ? L * R : 0) + (L - 1) * D * R + (network.bias ? tensors : 0);
  const double parameters =
      D * double(network.shape().gates) * H * columns + I * E + O * (D * R + 1);
  const double held = double(header.file_size - header.data_begin);
  const double element = dtype == Dtype::float32 ? sizeof(float) : sizeof(double);
  if (parameters * element > held || tensors * D > double(header.tensors.size())) {
    refuse_file("a model file whose options need more parameters than it holds");
  }
}

// Indices of parameters by name.
using ByName = std::map<std::string_view, size_t>;

// Sets the flag of the tensors that a list names; `list` is its metadata, for messages.
void read_names(const std::string& text, const ByName& by_name, const char* list,
                bool Param::* which, std::vector<Param>& tensors) {
  try {
    JsonReader json(text);
    json.array(by_name.size(), [&] {
      const std::string name = json.string(kLongestTensorName);
      const auto found = by_name.find(name);
      if (found == by_name.end()) json.fail("an unknown tensor '" + name + "'");
      tensors[found->second].*which = true;
    });
    json.end();
  } catch (const JsonError& error) {
    refuse_file("a model file whose list of " + std::string(list) + " tensors is not right at " +
                error.reason);
  }
}

void read_groups(const std::string& text, const ByName& by_name, std::vector<ParamGroup>& groups) {
  const auto possible = [](double value) { return value >= 0 && std::isfinite(value); };
  try {
    JsonReader json(text);
    json.object(groups.size(), kLongestTensorName, [&](const std::string& name) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) json.fail("an unknown tensor '" + name + "'");
      ParamGroup& group = groups[found->second];
      int place = 0;
      json.array(2, [&] {
        double& value = place++ == 0 ? group.lr_scale : group.weight_decay;
        const bool inherited = place == 2 && json.null();
        if (!inherited) value = json.number();
        if (!inherited && !possible(value)) json.fail("a negative number");
      });
      if (place != 2) json.fail("not two numbers");
    });
    json.end();
  } catch (const JsonError& error) {
    refuse_file("a model file whose groups of parameters are not right at " + error.reason);
  }
}

void read_class_weights(TensorData& data, ModelConfig& config) {
  if (!data.has(kClassWeights)) return;
  config.class_weights.resize(size_t(config.network.output));
  data.copy(kClassWeights, config.class_weights.data());
  if (problem_of_weights(config.class_weights))
    refuse_file("a model file with impossible class weights");
}

void read_alphas(TensorData& data, ModelConfig& config) {
  if (!data.has(kAlphas)) return;
  config.network.alphas.resize(size_t(config.network.hidden));
  data.copy(kAlphas, config.network.alphas.data());
  const ModelOptions options = options_of(config, config.optimizer);
  if (problem_of(structs_of(options), dtype_of(config.layer.dtype), Parameters::are_there))
    refuse_file("a model file with impossible alphas");
}

void read_tensor_steps(const std::string& text, const ByName& by_name,
                       std::vector<int64_t>& tensor_steps) {
  try {
    JsonReader json(text);
    json.object(tensor_steps.size(), kLongestTensorName, [&](const std::string& name) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) json.fail("an unknown tensor '" + name + "'");
      const int64_t steps = json.integer();
      if (steps < 0 || steps > kMostSteps) json.fail("a number that is not a count");
      tensor_steps[found->second] = steps;
    });
    json.end();
  } catch (const JsonError& error) {
    refuse_file("a model file whose counters of steps are not right at " + error.reason);
  }
}

void read_mask(TensorData& data, Param& tensor) {
  const std::string name = kMaskPrefix + tensor.name;
  if (!data.has(name)) return;
  tensor.mask.resize(size_t(tensor.count));
  data.copy(name, tensor.mask.data());
  for (const uint8_t kept : tensor.mask) {
    if (kept > 1) refuse_file("a model file whose tensor '" + name + "' is not of 0 and 1");
  }
}

// Refuses parameters that do not obey the constraints of their tensor.
template <class T>
void check_constraints(const Param& tensor, const T* values) {
  for (int64_t i = 0; i < tensor.count; ++i) {
    const bool masked = !tensor.mask.empty() && !tensor.mask[size_t(i)] && values[i] != 0;
    if (!masked && !(tensor.nonnegative && values[i] < 0)) continue;
    refuse_file("a model file whose tensor '" + tensor.name + "' has a number that is " +
                (masked ? "not 0 where its mask is" : "negative"));
  }
}

// Refuses moments that no update can produce.
template <class T>
void read_moments(TensorData& data, const std::vector<std::string>& prefixes,
                  const Params<T>& params, Optimizer<T>& optimizer) {
  Buffer<T> values(params.count());
  for (size_t i = 0; i < prefixes.size(); ++i) {
    for (const Param& tensor : params.tensors())
      data.copy(prefixes[i] + tensor.name, values.data() + tensor.offset);
    const int64_t bad = optimizer.first_impossible(i, values.data());
    for (const Param& tensor : params.tensors()) {
      if (bad < tensor.offset || bad >= tensor.offset + tensor.count) continue;
      refuse_file("a model file whose tensor '" + prefixes[i] + tensor.name +
                  "' has a number that " +
                  (std::isfinite(values[bad]) ? "is negative" : "is not finite"));
    }
    optimizer.set_moment(i, values.data());
  }
}

template <class T>
AnyModel read_model(const Contents& contents, const std::byte* bytes) {
  TensorData data(contents.header, bytes);
  ModelConfig config = contents.config;
  read_class_weights(data, config);
  read_alphas(data, config);
  auto model = std::make_unique<Model<T>>(config, Model<T>::Blank::yes);
  Params<T>& params = model->network().params();
  Optimizer<T>& optimizer = model->optimizer();
  T* const values = params.change();
  for (size_t i = 0; i < params.tensors().size(); ++i) {
    Param& tensor = params.tensors()[i];
    tensor.frozen = contents.tensors[i].frozen;
    tensor.nonnegative = contents.tensors[i].nonnegative;
    data.copy(tensor.name, values + tensor.offset);
    read_mask(data, tensor);
    check_constraints(tensor, values + tensor.offset);
  }
  read_moments(data, contents.moments, params, optimizer);
  optimizer.groups() = contents.groups;
  model->extras = data.extras();
  model->steps_taken = contents.steps_taken;
  model->steps_skipped = contents.steps_skipped;
  optimizer.set_steps(contents.optimizer_steps);
  for (size_t i = 0; i < contents.tensor_steps.size(); ++i)
    optimizer.set_tensor_steps(i, contents.tensor_steps[i]);
  model->metadata = contents.metadata;
  return model;
}

}  // namespace

template <class T>
std::vector<std::byte> serialize(const Model<T>& model) {
  const Params<T>& params = model.network().params();
  const Optimizer<T>& optimizer = model.optimizer();
  constexpr Dtype dtype = dtype_for<T>();
  std::vector<std::pair<std::string, std::string>> metadata{
      {"format", kFormat},
      {"format_version", kFormatVersion},
      {"sha256", std::string(kDigits, '0')},
      {"library_version", BPTT_VERSION},
      {"config", options_to_json(options_of(model.config(), optimizer.config()))},
      {"steps_taken", std::to_string(model.steps_taken)},
      {"steps_skipped", std::to_string(model.steps_skipped)},
      {"optimizer_steps", std::to_string(optimizer.steps())},
      {"frozen", names_to_json(params.tensors(), &Param::frozen)},
      {"groups", groups_to_json(params.tensors(), optimizer.groups())}};
  const std::string counters = tensor_steps_to_json(params.tensors(), optimizer);
  if (counters != "{}") metadata.emplace_back("tensor_steps", counters);
  const std::string nonnegative = names_to_json(params.tensors(), &Param::nonnegative);
  if (nonnegative != "[]") metadata.emplace_back("nonnegative", nonnegative);
  for (const auto& [key, value] : model.metadata) metadata.emplace_back("user." + key, value);

  std::vector<TensorToStore> tensors;
  const auto store = [&](const std::string& prefix, const T* values) {
    for (const Param& tensor : params.tensors()) {
      tensors.push_back({prefix + tensor.name, dtype_text(dtype), tensor.shape,
                         values + tensor.offset, static_cast<size_t>(tensor.count) * sizeof(T)});
    }
  };
  store("", params.data());
  const std::vector<std::string> prefixes = moment_prefixes(optimizer.config());
  for (size_t i = 0; i < prefixes.size(); ++i) store(prefixes[i], optimizer.moments()[i].data());
  for (const Param& tensor : params.tensors()) {
    if (tensor.mask.empty()) continue;
    tensors.push_back({kMaskPrefix + tensor.name, kMaskType, tensor.shape, tensor.mask.data(),
                       tensor.mask.size()});
  }
  const auto store_doubles = [&](const char* name, const std::vector<double>& values) {
    if (values.empty()) return;
    tensors.push_back({name,
                       dtype_text(Dtype::float64),
                       {int64_t(values.size())},
                       values.data(),
                       values.size() * sizeof(double)});
  };
  store_doubles(kClassWeights, model.config().class_weights);
  store_doubles(kAlphas, model.network().config().alphas);
  for (const auto& [name, extra] : model.extras) {
    tensors.push_back({std::string(kExtraPrefix) + name, dtype_text(extra.type), extra.shape,
                       extra.bytes.data(), extra.bytes.size()});
  }
  try {
    std::vector<std::byte> file = write_safetensors(metadata, std::move(tensors));
    const std::string digest = digest_of(file.data(), file.size());
    std::memcpy(file.data() + kDigitsBegin, digest.data(), kDigits);
    return file;
  } catch (const SafetensorsError& error) {
    throw Error(BPTT_ERR_ARGUMENT, "model", "metadata and tensors that a model file can hold",
                error.reason);
  }
}

Contents read_contents(const std::byte* bytes, size_t size, uint64_t file_size) {
  Contents contents;
  contents.header = check_model_header(bytes, size, file_size);
  Metadata metadata(contents.header);
  contents.config = ModelConfig(options_from_json(metadata.text("config")));
  const ModelConfig& config = contents.config;
  const Dtype stored = dtype_of(config.layer.dtype);
  check_size(config, stored, contents.header);
  contents.tensors = tensors_of(config.network);
  contents.moments = moment_prefixes(config.optimizer);
  const char* const dtype = dtype_text(stored);
  Tensors tensors(contents.header);
  ByName by_name;
  for (const Param& tensor : contents.tensors) {
    by_name.emplace(tensor.name, by_name.size());
    tensors.expect(tensor.name, dtype, tensor.shape);
    for (const std::string& moment : contents.moments)
      tensors.expect(moment + tensor.name, dtype, tensor.shape);
  }
  if (tensors.has(kClassWeights))
    tensors.expect(kClassWeights, dtype_text(Dtype::float64), {config.network.output});
  if (tensors.has(kAlphas))
    tensors.expect(kAlphas, dtype_text(Dtype::float64), {config.network.hidden});
  for (const Param& tensor : contents.tensors) {
    if (tensors.has(kMaskPrefix + tensor.name))
      tensors.expect(kMaskPrefix + tensor.name, kMaskType, tensor.shape);
  }
  tensors.expect_extras();
  read_names(metadata.text("frozen"), by_name, "frozen", &Param::frozen, contents.tensors);
  read_names(metadata.text_or("nonnegative", "[]"), by_name, "nonnegative", &Param::nonnegative,
             contents.tensors);
  contents.groups.resize(contents.tensors.size());
  read_groups(metadata.text_or("groups", "{}"), by_name, contents.groups);
  contents.steps_taken = metadata.count("steps_taken");
  contents.steps_skipped = metadata.count("steps_skipped");
  contents.optimizer_steps = metadata.count("optimizer_steps");
  contents.tensor_steps.assign(contents.tensors.size(), contents.optimizer_steps);
  read_tensor_steps(metadata.text_or("tensor_steps", "{}"), by_name, contents.tensor_steps);
  contents.metadata = metadata.users();
  return contents;
}

AnyModel deserialize(const std::byte* bytes, size_t size) {
  const Contents contents = read_contents(bytes, size, size);
  if (digest_of(bytes, size) != text_at(bytes, kDigitsBegin, kDigitsBegin + kDigits)) {
    refuse_file("an altered or damaged model file (its SHA-256 is not the one it names)");
  }
  return contents.config.layer.dtype == BPTT_FLOAT32 ? read_model<float>(contents, bytes)
                                                     : read_model<double>(contents, bytes);
}

template std::vector<std::byte> serialize(const Model<float>&);
template std::vector<std::byte> serialize(const Model<double>&);

}  // namespace bptt
