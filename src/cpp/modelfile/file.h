// file.h: the format of a model file, and the functions that its readers and writers share (model.h
// declares the entry points).
//
// A model file is a safetensors file. Its header begins with
//     {"__metadata__":{"format":"bptt_native.model","format_version":"1","sha256":"<64 digits>",
// and contains as metadata: "config" (a JSON object of all options), "steps_taken",
// "steps_skipped", "optimizer_steps", "frozen" (a JSON array of names), "nonnegative" (optional; the
// same), "groups" (optional; a JSON
// object {name: [factor of the learning rate, weight decay or null]} for tensors with their own
// settings), "tensor_steps" (optional; a JSON object {name: number of updates} for tensors whose
// number differs from "optimizer_steps") and "user.<key>". Tensors: the parameters by name,
// "optimizer.<moment>.<parameter>", "mask.<parameter>" (BOOL) for parameters with a mask,
// "loss.class_weights" if there are any, "rnn.alphas" (F64) if each unit has its own, and
// "extra.<name>". The SHA-256 is that of the whole file with its own 64 digits replaced by zeros ('0').
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "model/model.h"
#include "modelfile/safetensors.h"

namespace bptt {

constexpr char kFormat[] = "bptt_native.model", kFormatVersion[] = "1";
constexpr std::string_view kBeginning =
    R"({"__metadata__":{"format":"bptt_native.model","format_version":"1","sha256":")";
// position of the SHA-256 in the file
constexpr size_t kDigits = 64, kDigitsBegin = 8 + kBeginning.size();

inline std::string_view text_at(const std::byte* bytes, size_t begin, size_t end) {
  return {reinterpret_cast<const char*>(bytes) + begin, end - begin};
}

// Returns the SHA-256 that a file with these bytes must contain.
std::string digest_of(const std::byte* bytes, size_t size);

// Throws Error (BPTT_ERR_FORMAT): expected a model file, got `got`. The caller adds the name of the
// argument that passed the bytes.
[[noreturn]] void refuse_file(const std::string& got);

// Reads a header. Refuses it, with the reason, if it is not the header of a model file of this
// version and size. `bytes` begin the file and include the whole header, if there is one.
SafetensorsHeader check_model_header(const std::byte* bytes, size_t size, uint64_t file_size);

// All that a header describes. Its tensors are exactly those that the options require, and the
// user's.
struct Contents {
  SafetensorsHeader header;
  ModelConfig config;                 // without the class weights, which are data
  std::vector<Param> tensors;         // the parameters; frozen ones are marked
  std::vector<ParamGroup> groups;     // by index in `tensors`
  std::vector<int64_t> tensor_steps;  // the optimiser's counters, by index in `tensors`
  // prefixes of the parameters' names in the tensors of the moments
  std::vector<std::string> moments;
  int64_t steps_taken = 0, steps_skipped = 0, optimizer_steps = 0;
  std::map<std::string, std::string> metadata;  // the user's
};

// Reads all that a header describes, and refuses values that no model can have. It reads only the
// header, and uses memory in proportion to it.
Contents read_contents(const std::byte* bytes, size_t size, uint64_t file_size);

// Returns all options as JSON, except for the class weights, which are data.
std::string options_to_json(const ModelOptions& options);
// Refuses (Error) unknown, missing and impossible options.
ModelOptions options_from_json(const std::string& text);

}  // namespace bptt
