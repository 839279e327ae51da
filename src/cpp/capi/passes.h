// passes.h: forward and backward passes of the network of a layer or model, with and without a
// tape.
#pragma once

#include "capi/arrays.h"
#include "capi/locks.h"
#include "capi/objects.h"

namespace bptt {

template <class T>
void run_forward(const std::shared_ptr<Network<T>>& network, const bptt_sequence* sequence,
                 const bptt_outputs* outputs, bptt_tape** tape) {
  const NetworkConfig& config = network->config();
  Arrays arrays;
  ForwardCall<T> call;
  call.sequence = check_sequence<T>(config, sequence, arrays);
  check_outputs(config, outputs, call, arrays);
  arrays.result("tape", tape);
  SequenceCopy own;
  own_sequence(config, call.sequence, own);
  require_tape_memory(config, call.sequence, tape != nullptr);
  if (!tape) {
    const Reading reading(network->params().lock);
    network->forward(call, nullptr);
    return;
  }
  auto owned = std::make_shared<OwnedTape<T>>();
  owned->network = network;
  {
    const Reading reading(network->params().lock);
    network->forward(call, &owned->tape);
  }
  auto object = std::make_unique<TapeObject>();
  object->owned = std::move(owned);
  *tape = static_cast<bptt_tape*>(new_handle(Tag::tape, std::move(object)));
}

// Calls run(tape, check(tape)). The parameters cannot change during run.
template <class T, class Check, class Run>
void with_tape(const std::shared_ptr<Network<T>>& network, bptt_tape* tape, const Check& check,
               const Run& run) {
  const Use use(tape, {Tag::tape}, "tape");
  const auto* owned = std::get_if<std::shared_ptr<OwnedTape<T>>>(&use.as<TapeObject>().owned);
  if (!owned || (*owned)->network != network) {
    fail(BPTT_ERR_STATE, "tape", "a tape from a forward pass of this layer or model",
         "a tape of another layer or model");
  }
  const Tape<T>& memory = *(*owned)->tape;
  const auto checked = check(memory);
  const Reading reading(network->params().lock);
  run(memory, checked);
}

template <class T>
void run_backward(const std::shared_ptr<Network<T>>& network, bptt_tape* tape,
                  const bptt_backward* backward) {
  with_tape(
      network, tape,
      [&](const Tape<T>& memory) { return check_backward(*network, memory, backward); },
      [&](const Tape<T>& memory, const BackwardCall<T>& call) { network->backward(call, memory); });
}

}  // namespace bptt
