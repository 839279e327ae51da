// model.h: _core.Model, which its optimiser and streams look into.
#pragma once

#include "base/fork.h"
#include "bindings/bindings.h"

namespace bindings {

class Model {
 public:
  explicit Model(Owned<bptt_model, bptt_model_free> handle);
  static std::unique_ptr<Model> create(const py::dict& options);
  static std::unique_ptr<Model> load(const std::string& path);
  static std::unique_ptr<Model> deserialize(const py::bytes& bytes);

  bptt_model* handle() const { return handle_.get(); }
  bptt_params* params() const { return params_; }
  const Net& net() const { return net_; }
  bptt_model_options read() const;

  void save(const std::string& path) const;
  py::bytes serialize() const;
  py::object train_step(py::handle x, py::handle targets, py::handle state, py::handle weights,
                        int flow, py::handle lengths, py::handle resets) const;
  py::object gradients(py::handle x, py::handle targets, py::handle state, py::handle weights,
                       int flow, py::handle accumulate, py::handle lengths, py::handle resets,
                       uint64_t draw) const;  // (step, flat)
  py::object apply(
      py::handle gradients) const;  // (grad_norm, clipped, skipped, clipped_norm, clip_angle)
  py::object evaluate(py::handle x, py::handle targets, py::handle state, py::handle weights,
                      py::handle lengths, py::handle resets) const;
  py::object call(py::handle x, py::handle state, py::handle lengths, py::handle resets) const;
  py::object forward(py::handle x, py::handle state, py::handle lengths, py::handle resets,
                     uint64_t draw) const;
  py::object backward(const Tape& tape, py::handle dout, py::handle dstate, int flow,
                      py::handle accumulate, bool input_gradient, double clip_step,
                      double clip_step_norm, int64_t k1, int64_t k2, double omega) const;
  py::tuple steps() const;

  // What travels in the file with the model (optimizer.cpp).
  py::dict metadata() const;
  void set_metadata(const std::string& key, const py::object& value) const;  // None removes
  py::dict tensors() const;
  void set_tensor(const std::string& name, const py::object& array) const;  // None removes

 private:
  struct GivenTarget {
    Given target, weights;
  };
  bptt_target take_target(py::handle targets, py::handle weights, const Extent& extent,
                          GivenTarget& given, const Where& where) const;
  template <class Call>
  py::tuple step(const Where& where, py::handle x, py::handle targets, py::handle weights,
                 const Companions& companions, int flow, const Call& call) const;

  Owned<bptt_model, bptt_model_free> handle_;
  bptt_params* params_ = nullptr;
  Net net_;
  bool entropy_ = true, overlapping_ = false;  // windows of BPTT overlap
  // Guards metadata and tensors. Acquire it without the GIL.
  struct ExtrasTurn {};
  mutable bptt::Guarded<ExtrasTurn> extras_;
};

}  // namespace bindings
