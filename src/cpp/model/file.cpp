// file.cpp: a model as bytes, and back; file_header: whether bytes are a model at all.
#include "model/file.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <map>
#include <string_view>
#include <utility>

#include "error.h"
#include "model/json.h"

namespace bptt {
namespace {

constexpr char kClassWeights[] = "loss.class_weights";
constexpr Extra::Type kExtraTypes[] = {Extra::Type::float32, Extra::Type::float64,
                                       Extra::Type::int64};
constexpr const char* dtype_text(Extra::Type type) {
  return type == Extra::Type::float32 ? "F32" : type == Extra::Type::float64 ? "F64" : "I64";
}
template <class T>
constexpr const char* dtype_text() {
  return sizeof(T) == sizeof(float) ? "F32" : "F64";
}

std::string frozen_to_json(const std::vector<Param>& tensors) {
  std::string json = "[";
  for (const Param& tensor : tensors) {
    if (!tensor.frozen) continue;
    if (json.size() > 1) json += ',';
    json += json_string(tensor.name);
  }
  return json + ']';
}

// The groups that are not as a new optimiser's.
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

// ---- reading ----

// The file's metadata, from which every entry is taken once.
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
    if (error != std::errc() || end != digits.data() + digits.size() || value < 0) {
      refuse_file("a model file whose '" + key + "' is not a count");
    }
    return value;
  }
  // What is left must be the user's.
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

// The file's tensors, each of which is taken once.
class Tensors {
 public:
  Tensors(const SafetensorsHeader& header, const std::byte* bytes)
      : data_(bytes + header.data_begin) {
    for (const StoredTensor& tensor : header.tensors) entries_.emplace(tensor.name, &tensor);
  }
  template <class T>
  void take(const std::string& name, const std::vector<int64_t>& shape, T* values) {
    const auto node = entries_.extract(name);
    if (node.empty()) refuse_file("a model file without the tensor '" + name + "'");
    const StoredTensor& tensor = *node.mapped();
    if (tensor.dtype != dtype_text<T>())
      refuse_file("a model file whose tensor '" + name + "' has the dtype " + tensor.dtype);
    if (tensor.shape != shape)
      refuse_file("a model file whose tensor '" + name +
                  "' has another shape than its options say");
    std::memcpy(values, data_ + tensor.begin, static_cast<size_t>(tensor.end - tensor.begin));
  }
  bool has(const std::string& name) const { return entries_.contains(name); }
  // What is left must be the user's.
  std::map<std::string, Extra> extras() const {
    std::map<std::string, Extra> result;
    for (const auto& [name, tensor] : entries_) {
      constexpr std::string_view prefix = "extra.";
      if (!name.starts_with(prefix) || name.size() == prefix.size()) {
        refuse_file("a model file with the unknown tensor '" + std::string(name) + "'");
      }
      const auto* type =
          std::find_if(std::begin(kExtraTypes), std::end(kExtraTypes),
                       [&](Extra::Type known) { return dtype_text(known) == tensor->dtype; });
      if (type == std::end(kExtraTypes)) {
        refuse_file("a model file whose tensor '" + std::string(name) + "' has the dtype " +
                    tensor->dtype);
      }
      result.emplace(name.substr(prefix.size()),
                     Extra{*type, tensor->shape, {data_ + tensor->begin, data_ + tensor->end}});
    }
    return result;
  }

 private:
  std::map<std::string_view, const StoredTensor*> entries_;
  const std::byte* data_;
};

// Refuses options that need more than the file holds, before anything of that size is allocated. In
// double precision, where nothing overflows; exact shapes are compared later.
void check_size(const ModelConfig& config, size_t element, const SafetensorsHeader& header) {
  const NetworkConfig& network = config.network;
  const double H = double(network.hidden), L = double(network.layers), O = double(network.output),
               I = double(network.input), D = double(network.directions()),
               R = double(network.state());
  const double E = double(network.embedding), first = E > 0 ? E : I;
  const double columns = first + L * R + (L - 1) * D * R + (network.bias ? 2 * L : 0);
  const double parameters =
      D * double(network.shape().gates) * H * columns + I * E + O * (D * R + 1);
  const double held = double(header.file_size - header.data_begin);
  if (parameters * double(element) > held || 2 * L * D > double(header.tensors.size())) {
    refuse_file("a model file whose options need more parameters than it holds");
  }
}

template <class T>
void read_frozen(const std::string& text, Params<T>& params) {
  std::map<std::string_view, Param*> by_name;
  for (Param& tensor : params.tensors()) by_name.emplace(tensor.name, &tensor);
  try {
    JsonReader json(text);
    json.array(by_name.size(), [&] {
      const std::string name = json.string(kLongestTensorName);
      const auto found = by_name.find(name);
      if (found == by_name.end()) json.fail("an unknown tensor '" + name + "'");
      found->second->frozen = true;
    });
    json.end();
  } catch (const JsonError& error) {
    refuse_file("a model file whose list of frozen tensors is not right at " + error.reason);
  }
}

void read_class_weights(Tensors& tensors, ModelConfig& config) {
  if (!tensors.has(kClassWeights)) return;
  config.class_weights.resize(size_t(config.network.output));
  tensors.take(kClassWeights, {config.network.output}, config.class_weights.data());
  double largest = 0;
  bool possible = true;
  for (const double weight : config.class_weights) {
    possible = possible && std::isfinite(weight) && weight >= 0;
    largest = std::max(largest, weight);
  }
  if (!possible || largest == 0) refuse_file("a model file with impossible class weights");
}

template <class T>
void read_groups(const std::string& text, const Params<T>& params,
                 std::vector<ParamGroup>& groups) {
  const auto possible = [](double value) { return value >= 0 && std::isfinite(value); };
  try {
    JsonReader json(text);
    json.object(groups.size(), kLongestTensorName, [&](const std::string& name) {
      const Param* tensor = params.find(name);
      if (!tensor) json.fail("an unknown tensor '" + name + "'");
      ParamGroup& group = groups[static_cast<size_t>(tensor - params.tensors().data())];
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

template <class T>
AnyModel read_model(ModelConfig config, Metadata metadata, const SafetensorsHeader& header,
                    const std::byte* bytes) {
  check_size(config, sizeof(T), header);
  Tensors tensors(header, bytes);
  read_class_weights(tensors, config);
  auto model = std::make_unique<Model<T>>(config);
  Params<T>& params = model->network().params();
  Optimizer<T>& optimizer = model->optimizer();
  T* const values = params.change();
  for (const Param& tensor : params.tensors())
    tensors.take(tensor.name, tensor.shape, values + tensor.offset);
  for (size_t i = 0; i < optimizer.moments().size(); ++i) {
    const std::string prefix = std::string("optimizer.") + optimizer.moment_names()[i] + '.';
    for (const Param& tensor : params.tensors()) {
      tensors.take(prefix + tensor.name, tensor.shape,
                   optimizer.moments()[i].data() + tensor.offset);
    }
  }
  model->extras = tensors.extras();
  read_frozen(metadata.text("frozen"), params);
  read_groups(metadata.text_or("groups", "{}"), params, optimizer.groups());
  model->steps_taken = metadata.count("steps_taken");
  model->steps_skipped = metadata.count("steps_skipped");
  optimizer.set_steps(metadata.count("optimizer_steps"));
  model->metadata = metadata.users();
  return model;
}

}  // namespace

template <class T>
std::vector<std::byte> serialize(const Model<T>& model) {
  const Params<T>& params = model.network().params();
  const Optimizer<T>& optimizer = model.optimizer();
  const std::vector<double>& class_weights = model.config().class_weights;
  const Dtype dtype = sizeof(T) == sizeof(float) ? Dtype::float32 : Dtype::float64;
  std::vector<std::pair<std::string, std::string>> metadata{
      {"format", kFormat},
      {"format_version", kFormatVersion},
      {"sha256", std::string(kDigits, '0')},
      {"library_version", BPTT_VERSION},
      {"config", config_to_json(model.config(), optimizer.config(), dtype)},
      {"steps_taken", std::to_string(model.steps_taken)},
      {"steps_skipped", std::to_string(model.steps_skipped)},
      {"optimizer_steps", std::to_string(optimizer.steps())},
      {"frozen", frozen_to_json(params.tensors())},
      {"groups", groups_to_json(params.tensors(), optimizer.groups())}};
  for (const auto& [key, value] : model.metadata) metadata.emplace_back("user." + key, value);

  std::vector<TensorToStore> tensors;
  const auto store = [&](const std::string& prefix, const T* values) {
    for (const Param& tensor : params.tensors()) {
      tensors.push_back({prefix + tensor.name, dtype_text<T>(), tensor.shape,
                         values + tensor.offset, static_cast<size_t>(tensor.count) * sizeof(T)});
    }
  };
  store("", params.data());
  for (size_t i = 0; i < optimizer.moments().size(); ++i) {
    store(std::string("optimizer.") + optimizer.moment_names()[i] + '.',
          optimizer.moments()[i].data());
  }
  if (!class_weights.empty()) {
    tensors.push_back({kClassWeights,
                       dtype_text<double>(),
                       {model.config().network.output},
                       class_weights.data(),
                       class_weights.size() * sizeof(double)});
  }
  for (const auto& [name, extra] : model.extras) {
    tensors.push_back({"extra." + name, dtype_text(extra.type), extra.shape, extra.bytes.data(),
                       extra.bytes.size()});
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

AnyModel deserialize(const std::byte* bytes, size_t size) {
  const SafetensorsHeader header = check_model_header(bytes, size, size);
  if (digest_of(bytes, size) != text_at(bytes, kDigitsBegin, kDigitsBegin + kDigits)) {
    refuse_file("an altered or damaged model file (its SHA-256 is not the one it names)");
  }
  Metadata metadata(header);
  Dtype dtype = Dtype::float32;
  const ModelConfig config = config_from_json(metadata.text("config"), &dtype);
  return dtype == Dtype::float32 ? read_model<float>(config, std::move(metadata), header, bytes)
                                 : read_model<double>(config, std::move(metadata), header, bytes);
}

template std::vector<std::byte> serialize(const Model<float>&);
template std::vector<std::byte> serialize(const Model<double>&);

}  // namespace bptt
