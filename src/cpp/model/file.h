// file.h: what the parts of the model file share (model.h declares what others call).
//
// A model file is a safetensors file. Its header begins with
//     {"__metadata__":{"format":"bptt_native.model","format_version":"1","sha256":"<64 digits>",
// and holds as metadata: "config" (a JSON object of all options), "steps_taken", "steps_skipped",
// "optimizer_steps", "frozen" (a JSON array of names), "groups" (a JSON object, name: [factor of the
// learning rate, weight decay or null], of the tensors that have their own; may be missing) and
// "user.<key>". Tensors: the parameters by their names,
// "optimizer.<moment>.<parameter>", "loss.class_weights" if there are any, and "extra.<name>". The
// SHA-256 is of the whole file with its own 64 digits taken as zeros ('0').
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "model/model.h"
#include "model/safetensors.h"

namespace bptt {

constexpr char kFormat[] = "bptt_native.model", kFormatVersion[] = "1";
constexpr std::string_view kBeginning =
    R"({"__metadata__":{"format":"bptt_native.model","format_version":"1","sha256":")";
constexpr size_t kDigits = 64, kDigitsBegin = 8 + kBeginning.size();  // of the SHA-256, in the file

inline std::string_view text_at(const std::byte* bytes, size_t begin, size_t end) {
  return {reinterpret_cast<const char*>(bytes) + begin, end - begin};
}

// The SHA-256 that a file is to name.
std::string digest_of(const std::byte* bytes, size_t size);

// Throws Error (BPTT_ERR_FORMAT): expected a model file, got `got`.
[[noreturn]] void refuse_file(const std::string& got);

// Tells from the beginning of a file (the header at least, where it has one) whether it can be a
// model file of this version and this size; else refuses it with the reason.
SafetensorsHeader check_model_header(const std::byte* bytes, size_t size, uint64_t file_size);

// All options as JSON; `optimizer` has the learning rate and eps in use.
std::string config_to_json(const ModelConfig& config, const OptimizerConfig& optimizer,
                           Dtype dtype);
// Refuses (Error) unknown, missing and impossible options.
ModelConfig config_from_json(const std::string& text, Dtype* dtype);

}  // namespace bptt
