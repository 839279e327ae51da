// model.h: the class _core.Model, which its optimiser and streams access.
#pragma once

#include "base/fork.h"
#include "bindings/bindings.h"
#include "bindings/options.h"
#include "bindings/passes.h"
#include "bptt_files.h"
#include "bptt_stream.h"

namespace bindings {

// The arguments of a training step, of its halves and of an evaluation.
struct StepArguments : SequenceArguments {
  py::handle targets, weights, flow, accumulate, layout, outputs;
};

class Model {
 public:
  explicit Model(Owned<bptt_model, bptt_model_free> handle);
  static std::unique_ptr<Model> create(const py::dict& options);
  static std::unique_ptr<Model> load(const std::string& path);
  static std::unique_ptr<Model> deserialize(const py::bytes& bytes);

  bptt_model* handle() const { return handle_.get(); }
  bptt_params* params() const { return params_; }
  const Net& net() const { return net_; }
  Options read() const;

  void save(const std::string& path) const;
  py::bytes serialize() const;
  py::object train_step(const StepArguments& in) const;
  py::object gradients(const StepArguments& in) const;  // (StepResult, Gradients)
  py::object apply(py::handle gradients) const;
  py::object eval_step(const StepArguments& in) const;  // (loss, state) or (loss, state, outputs)
  void output_gradient(const py::array& outputs, py::handle targets, py::handle lengths,
                       py::handle weights) const;  // in place
  py::object call(const SequenceArguments& in) const;
  py::object forward(const SequenceArguments& in) const;
  py::object backward(const BackwardArguments& in) const;
  py::tuple steps() const;

  // Text and arrays that are saved in the file with the model (optimizer.cpp).
  py::dict metadata() const;
  // None removes the entry
  void set_metadata(const std::string& key, const py::object& value) const;
  py::dict tensors() const;
  // None removes the entry
  void set_tensor(const std::string& name, const py::object& array) const;

 private:
  struct GivenTarget {
    Given target, weights;
  };
  bptt_target take_target(py::handle targets, py::handle weights, const Extent& extent,
                          GivenTarget& given, const Where& where) const;
  // Takes the sequence of a pass with random draws. If no draw is given, that of the next training
  // step is used.
  GivenSequence take_drawn(const SequenceArguments& in, bool draws, const Where& where) const;
  template <class Call>
  StepResult step(const Where& where, const StepArguments& in, const GivenSequence& sequence,
                  Flow& flow, const Call& call) const;

  Owned<bptt_model, bptt_model_free> handle_;
  bptt_params* params_ = nullptr;
  Net net_;
  bool classes_ = true;       // targets are classes
  bool overlapping_ = false;  // windows of truncated BPTT overlap
  // Guards metadata and tensors. Release the GIL before acquiring it.
  struct ExtrasTurn {};
  mutable bptt::Guarded<ExtrasTurn> extras_;
};

}  // namespace bindings
