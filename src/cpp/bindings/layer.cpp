// layer.cpp: the classes _core.Layer, _core.Tape and _core.Params.
#include "bindings/diagnostics.h"
#include "bindings/options.h"
#include "bindings/passes.h"

namespace bindings {
namespace {

class Layer {
 public:
  Layer(const std::string& owner, const py::dict& options, bool batch_first) {
    bptt_layer_options layer;
    bptt_layer_options_init(&layer, sizeof layer);
    const OptionArrays arrays = read_options(options, layer, owner.c_str());
    net_.owner = owner;
    net_.batch_first = batch_first;
    net_.input = layer.input_size;
    run<Long>([&] { return bptt_layer_create(&layer, handle_.put()); }, {net_.owner.c_str(), ""});
    describe(layer, net_);
    net_.parameters = parameter_count(params_handle());
  }

  bptt_layer* handle() const { return handle_.get(); }
  const Net& net() const { return net_; }

  static Params params(const py::object& self) {
    const auto& layer = py::cast<const Layer&>(self);
    return {layer.params_handle(), self, layer.net_};
  }

 private:
  bptt_params* params_handle() const {
    bptt_params* params = nullptr;
    check(bptt_layer_params(handle_.get(), &params), {net_.owner.c_str(), ""});
    return params;
  }

  Owned<bptt_layer, bptt_layer_free> handle_;
  Net net_;
};

template <bool remember>
py::object forward_layer(const Layer& layer, const SequenceArguments& in) {
  const Where where = {layer.net().owner.c_str(), remember ? "forward" : "__call__"};
  return run_forward(layer.net(), layer.handle(), bptt_layer_forward,
                     take_sequence(layer.net(), in, where), where, remember);
}
py::object backward_layer(const Layer& layer, const BackwardArguments& in) {
  return run_backward(layer.net(), layer.handle(), bptt_layer_backward, in, "dy");
}

int64_t tape_bytes(const Tape& tape) {
  int64_t bytes = 0;
  check(bptt_tape_bytes(tape.handle.get(), &bytes), {"Tape", "nbytes"});
  return bytes;
}

std::string tape_text(const Tape& tape) {
  return "Tape of " + tape.net.owner + ": T = " + std::to_string(tape.extent.steps) +
         ", N = " + std::to_string(tape.extent.batch) +
         ", L*D = " + std::to_string(tape.net.walks) + ", H = " + std::to_string(tape.net.hidden) +
         ", " + tape.net.dtype_name() + ", draw " + std::to_string(tape.draw) + ", " +
         std::to_string(tape_bytes(tape)) + " bytes";
}

// Returns [walks, T, N, units] of one part of a tape ([walks, T, units] if it is unbatched).
py::object read(const Tape& tape, bptt_tape_part part, int64_t gate, int64_t units,
                const char* method) {
  const Net& net = tape.net;
  const Extent& extent = tape.extent;
  const int64_t batched[4] = {net.walks, extent.steps, extent.batch, units};
  const int64_t single[3] = {net.walks, extent.steps, units};
  const py::object array = extent.unbatched ? new_array(net.type_number(), single, 3)
                                            : new_array(net.type_number(), batched, 4);
  char* values = static_cast<char*>(data_of(array));
  for (int64_t walk = 0; walk < net.walks; ++walk) {
    run(
        [&] {
          return bptt_tape_read(
              tape.handle.get(), part, walk, gate,
              values + walk * extent.steps * extent.batch * units * net.element());
        },
        {"Tape", method});
  }
  return array;
}

py::object tape_states(const Tape& tape) {
  const py::object h = read(tape, BPTT_TAPE_H, 0, tape.net.state, "states");
  if (!tape.net.cell.has_c) return h;
  return py::make_tuple(h, read(tape, BPTT_TAPE_C, 0, tape.net.hidden, "states"));
}

py::dict tape_gates(const Tape& tape) {
  const bptt_cell_info& cell = tape.net.cell;
  py::dict gates;
  for (int64_t g = 0; g < cell.tape_gates; ++g)
    gates[cell.letters[g]] = read(tape, BPTT_TAPE_GATE, g, tape.net.hidden, "gates");
  return gates;
}

const char* flat_name(bptt_flat flat) {
  static constexpr const char* kNames[] = {"never", "symmetric", "unit", "negative", "slope"};
  return kNames[flat - BPTT_FLAT_NEVER];
}

py::dict cell_parts(const bptt_cell_info& cell) {
  py::list gates;
  for (int64_t g = 0; g < cell.gates; ++g) {
    gates.append(py::make_tuple(cell.letters[g], cell.names[g], flat_name(cell.flat[g])));
  }
  py::dict parts;
  parts["name"] = cell.name;
  parts["gates"] = gates;
  parts["tape_gates"] = cell.tape_gates > 0;
  parts["has_c"] = cell.has_c != 0;
  parts["products"] = cell.products;
  return parts;
}

py::dict describe_cell(int cell, bool coupled, bool reset_before) {
  bptt_layer_options options;
  bptt_layer_options_init(&options, sizeof options);
  options.cell = static_cast<bptt_cell>(cell);
  options.coupled = coupled;
  options.reset_before = reset_before;
  bptt_cell_info info = {};
  check(bptt_describe_cell(&options, &info, sizeof info), {"describe_cell", ""});
  return cell_parts(info);
}

// Returns (name, where it is flat, whether its derivative is computed from a instead of f(a)).
py::tuple describe_nonlinearity(int nonlinearity) {
  bptt_nonlinearity_info info = {};
  check(
      bptt_describe_nonlinearity(static_cast<bptt_nonlinearity>(nonlinearity), &info, sizeof info),
      {"describe_nonlinearity", ""});
  return py::make_tuple(info.name, flat_name(info.flat), info.slope_of_a != 0);
}

// Returns a list of (name, shape, offset, count, frozen, masked, nonnegative).
py::list table(const Params& params) {
  int64_t tensors = 0;
  py::list rows;
  run([&] { return bptt_params_count(params.handle, &tensors, nullptr); },
      {params.net.owner.c_str(), "parameters"});
  for (int64_t i = 0; i < tensors; ++i) {
    bptt_param_info info = {};
    run([&] { return bptt_params_info(params.handle, i, &info, sizeof info); },
        {params.net.owner.c_str(), "parameters"});
    py::tuple shape(static_cast<size_t>(info.rank));
    for (int64_t axis = 0; axis < info.rank; ++axis)
      shape[static_cast<size_t>(axis)] = info.shape[axis];
    rows.append(py::make_tuple(info.name, shape, info.offset, info.count, info.frozen != 0,
                               info.masked != 0, info.nonnegative != 0));
  }
  return rows;
}

py::object get_values(const Params& params) {
  const py::object values = new_array(params.net.type_number(), &params.net.parameters, 1);
  run([&] { return bptt_params_get(params.handle, data_of(values)); },
      {params.net.owner.c_str(), "state_dict"});
  return values;
}

void set_values(const Params& params, py::handle values) {
  const Where where = {params.net.owner.c_str(), "load_state_dict"};
  const Given given = take_vector(params.net, values, params.net.parameters, where, "values");
  run([&] { return bptt_params_set(params.handle, given.data); }, where);
}

void freeze(const Params& params, const std::string& name, bool frozen) {
  run([&] { return bptt_params_freeze(params.handle, name.c_str(), frozen); },
      {params.net.owner.c_str(), frozen ? "freeze" : "unfreeze"});
}

// Returns the number of elements of a tensor; 0 if there is none with this name.
int64_t elements_of(const Params& params, const std::string& name) {
  int64_t tensors = 0;
  bptt_params_count(params.handle, &tensors, nullptr);
  for (int64_t i = 0; i < tensors; ++i) {
    bptt_param_info info = {};
    bptt_params_info(params.handle, i, &info, sizeof info);
    if (name == info.name) return info.count;
  }
  return 0;
}

constexpr int kBool = 0;  // NPY_BOOL

// `mask` is None or a bool vector.
void set_mask(const Params& params, const std::string& name, const py::object& mask) {
  const Where where = {params.net.owner.c_str(), "set_mask"};
  Flat given;
  if (!mask.is_none()) given = take_flat(kBool, mask, elements_of(params, name), where, "mask");
  run(
      [&] {
        return bptt_params_set_mask(params.handle, name.c_str(),
                                    static_cast<const uint8_t*>(given.data));
      },
      where);
}

// Returns a bool vector.
py::object get_mask(const Params& params, const std::string& name) {
  const int64_t count = elements_of(params, name);
  const py::object mask = new_array(kBool, &count, 1);
  run(
      [&] {
        return bptt_params_get_mask(params.handle, name.c_str(),
                                    static_cast<uint8_t*>(data_of(mask)));
      },
      {params.net.owner.c_str(), "masks"});
  return mask;
}

void set_nonnegative(const Params& params, const std::string& name, bool nonnegative) {
  run([&] { return bptt_params_set_nonnegative(params.handle, name.c_str(), nonnegative); },
      {params.net.owner.c_str(), "set_nonnegative"});
}

}  // namespace

int64_t parameter_count(bptt_params* params) {
  int64_t count = 0;
  check(bptt_params_count(params, nullptr, &count), {"parameters", ""});
  return count;
}

// Names a class in Python's own messages as users know it, without the module _core.
void name_in_messages(const py::object& type, const char* name) {
  reinterpret_cast<PyTypeObject*>(type.ptr())->tp_name = name;
}

void bind_layer(py::module_& module) {
  module.def("describe_cell", &describe_cell, py::arg("cell"), py::arg("coupled"),
             py::arg("reset_before"));
  module.def("describe_nonlinearity", &describe_nonlinearity, py::arg("nonlinearity"));
  py::class_<Tape>(module, "Tape",
                   "The record of one forward call, which BPTT needs.\n\n"
                   "It holds copies and serves any number of backward calls of the layer or model "
                   "that made it, with the\n"
                   "parameters of that time: if they change, the tapes made with them share what "
                   "backward calls need of them.\n\n"
                   "Examples\n--------\n"
                   ">>> layer = bn.GRU(3, 8)\n"
                   ">>> y, state, tape = layer.forward(np.ones((5, 2, 3), np.float32))\n"
                   ">>> tape.steps, tape.batch, tape.states().shape\n"
                   "(5, 2, (1, 5, 2, 8))\n"
                   ">>> sorted(tape.gates())\n"
                   "['n', 'r', 'z']\n")
      .def("__repr__", &tape_text)
      .def_property_readonly("nbytes", &tape_bytes,
                             "The memory that it holds, in bytes, without what it shares.")
      .def_property_readonly(
          "steps", [](const Tape& tape) { return tape.extent.steps; },
          "The number of time steps T.")
      .def_property_readonly(
          "batch", [](const Tape& tape) { return tape.extent.batch; }, "The number of sequences N.")
      .def_property_readonly(
          "lengths",
          [](const Tape& tape) {
            py::list lengths;
            for (const int64_t length : tape.lengths) lengths.append(length);
            return lengths;
          },
          "The number of time steps of each sequence, a list of N.")
      .def_property_readonly(
          "draw", [](const Tape& tape) { return tape.draw; },
          "Which random masks and noise the forward pass drew.")
      .def("states", &tape_states,
           "Read every state: h [L*D, T, N, R], for an LSTM (h, c) with c [L*D, T, N, H].\n\n"
           "Time comes first whatever `batch_first` says; what lies beyond a sequence's length is "
           "zero.")
      .def(
          "gates", &tape_gates,
          "Read every gate after its nonlinearity, by name: [L*D, T, N, H] each.\n\n"
          "LSTM: i, f, g, o (coupled: i, g, o); GRU: r, z, n; MinGRU: z, n; RNN: none. Zero beyond "
          "a sequence's length.")
      .def_property_readonly(
          "cell", [](const Tape& tape) { return cell_parts(tape.net.cell); },
          "What the cell is made of, as `options.cell_shape` reads it.");
  name_in_messages(module.attr("Tape"), "bptt_native.Tape");
  py::class_<Params>(module, "Params")
      .def("table", &table)
      .def("get", &get_values)
      .def("set", &set_values, py::arg("values"))
      .def("freeze", &freeze, py::arg("name"), py::arg("frozen"))
      .def("set_mask", &set_mask, py::arg("name"), py::arg("mask"))
      .def("get_mask", &get_mask, py::arg("name"))
      .def("set_nonnegative", &set_nonnegative, py::arg("name"), py::arg("nonnegative"));
  py::class_<Layer> layer(module, "Layer");
  bind_diagnostics<Layer, bptt_layer_backward_seeds, bptt_layer_jacobian, bptt_layer_spectrum>(
      layer);
  layer
      .def(py::init<const std::string&, const py::dict&, bool>(), py::arg("owner"),
           py::arg("options"), py::arg("batch_first"))
      .def("params", &Layer::params);
  def_method<Layer, SequenceArguments, &forward_arguments, forward_layer<false>>(layer, "call");
  def_method<Layer, SequenceArguments, &forward_arguments, forward_layer<true>>(layer, "forward");
  def_method<Layer, BackwardArguments, &backward_arguments, backward_layer>(layer, "backward");
}

}  // namespace bindings
