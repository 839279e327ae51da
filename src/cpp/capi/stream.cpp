// stream.cpp: streams: inference on one sequence, step by step.
#include "bptt_stream.h"
#include "capi/arrays.h"
#include "capi/environment.h"
#include "capi/locks.h"
#include "capi/objects.h"
#include "capi/structs.h"

namespace bptt {
namespace {

template <class Body>
void with_stream(bptt_stream* stream, const Body& body) {
  const Use use(stream, {Tag::stream}, "stream");
  on(use.as<StreamObject>().stream, [&](const auto& it) { body(*it); });
}

Weights checked_weights(const bptt_stream_options& options, bool float32) {
  const int32_t weights = raw(options.weights);
  if (weights < BPTT_WEIGHTS_MODEL || weights > BPTT_WEIGHTS_INT8) {
    fail(BPTT_ERR_ARGUMENT, "weights",
         "BPTT_WEIGHTS_MODEL, BPTT_WEIGHTS_BFLOAT16 or BPTT_WEIGHTS_INT8", text(int64_t{weights}));
  }
  if (weights != BPTT_WEIGHTS_MODEL && !float32) {
    Error error(BPTT_ERR_ARGUMENT, "weights", "BPTT_WEIGHTS_MODEL, because the model is float64",
                weights == BPTT_WEIGHTS_INT8 ? "BPTT_WEIGHTS_INT8" : "BPTT_WEIGHTS_BFLOAT16");
    error.python = {"weights", "'model', because the model is float64",
                    weights == BPTT_WEIGHTS_INT8 ? "'int8'" : "'bfloat16'"};
    throw error;
  }
  return Weights(weights);
}
static_assert(int(Weights::bfloat16) == BPTT_WEIGHTS_BFLOAT16 &&
              int(Weights::int8) == BPTT_WEIGHTS_INT8);

}  // namespace
}  // namespace bptt

using namespace bptt;

bptt_status bptt_stream_options_init(bptt_stream_options* options, size_t struct_size) {
  return guard("bptt_stream_options_init", [&] {
    write_struct(options, struct_size, defaults_of<bptt_stream_options>(), "options");
  });
}

bptt_status bptt_stream_create(bptt_model* model, const bptt_stream_options* options,
                               bptt_stream** stream) {
  return guard("bptt_stream_create", [&] {
    not_null(stream, "stream");
    const Use use(model, {Tag::model}, "model");
    check_environment();
    on(use.as<ModelObject>().model, [&]<class T>(const std::shared_ptr<Model<T>>& it) {
      if (it->config().network.bidirectional) {
        fail(BPTT_ERR_STATE, "", "",
             "the model is bidirectional, and a stream has no end to read backward from");
      }
      const bptt_stream_options known =
          options ? read_struct(options, "options") : defaults_of<bptt_stream_options>();
      const Weights weights = checked_weights(known, sizeof(T) == sizeof(float));
      const bool noise = flag_argument(known.noise, "noise");
      auto object = std::make_unique<StreamObject>();
      {
        const Reading reading(it->network().params().lock);
        object->stream = std::make_shared<Stream<T>>(*it, weights, noise, known.draw);
      }
      *stream = static_cast<bptt_stream*>(new_handle(Tag::stream, std::move(object)));
    });
  });
}

bptt_status bptt_stream_free(bptt_stream* stream) {
  return guard("bptt_stream_free", [&] { free_handle(stream, Tag::stream, "stream"); });
}

bptt_status bptt_stream_step(bptt_stream* stream, const void* x, void* y) {
  return guard("bptt_stream_step", [&] {
    with_stream(stream, [&]<class T>(Stream<T>& it) {
      not_null(x, "x");
      if (it.config().tokens_only) {
        fail(BPTT_ERR_ARGUMENT, "x",
             "a token (bptt_stream_step_token), because the model has a vocabulary", "values");
      }
      Arrays arrays;
      arrays.flat("x", static_cast<const T*>(x), it.config().input, false);
      arrays.flat("y", static_cast<T*>(y), it.config().output, true);
      it.step(static_cast<const T*>(x), static_cast<T*>(y));
    });
  });
}

bptt_status bptt_stream_step_token(bptt_stream* stream, int64_t token, void* y) {
  return guard("bptt_stream_step_token", [&] {
    with_stream(stream, [&]<class T>(Stream<T>& it) {
      if (!it.config().tokens_only) {
        fail(BPTT_ERR_ARGUMENT, "token",
             "values (bptt_stream_step), because the model has no vocabulary", "a token");
      }
      if (token < 0 || token >= it.config().input) {
        fail(BPTT_ERR_RANGE, "token", "an integer from 0 to " + text(it.config().input - 1),
             text(token));
      }
      it.step_token(token, static_cast<T*>(y));
    });
  });
}

bptt_status bptt_stream_reset(bptt_stream* stream) {
  return guard("bptt_stream_reset", [&] { with_stream(stream, [](auto& it) { it.reset(); }); });
}

bptt_status bptt_stream_get_state(bptt_stream* stream, void* h, void* c) {
  return guard("bptt_stream_get_state", [&] {
    with_stream(stream, [&]<class T>(Stream<T>& it) {
      lstm_only(it.config(), c, "c");
      Arrays arrays;
      arrays.flat("h", static_cast<T*>(h), h_count(it.config(), 1), true);
      arrays.flat("c", static_cast<T*>(c), c_count(it.config(), 1), true);
      it.get_state(static_cast<T*>(h), static_cast<T*>(c));
    });
  });
}

bptt_status bptt_stream_set_state(bptt_stream* stream, const void* h, const void* c) {
  return guard("bptt_stream_set_state", [&] {
    with_stream(stream, [&]<class T>(Stream<T>& it) {
      lstm_only(it.config(), c, "c");
      it.set_state(static_cast<const T*>(h), static_cast<const T*>(c));
    });
  });
}
