// What the operators share: the view of MindSpore's arguments, and oneDNN's engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>

#include "threads.h"

// The signature that MindSpore's ops.Custom (func_type "aot") calls. `params` and `shapes` hold the inputs, then the
// outputs. A result other than 0, or an exception, fails the step.
#define OPERATOR(name)                                                                                              \
  extern "C" int name([[maybe_unused]] int count, [[maybe_unused]] void** params, [[maybe_unused]] int* ranks,      \
                      [[maybe_unused]] int64_t** shapes, [[maybe_unused]] const char** types,                       \
                      [[maybe_unused]] void* stream, [[maybe_unused]] void* extra)

const dnnl::engine& engine();

// The stream, and memory in it, belong to whose turn it is.
dnnl::stream& stream_of_turn();
enum class Scratch { kPrimitive, kWeights, kX, kY };
void* scratch(size_t bytes, Scratch use = Scratch::kPrimitive);

// Must run before a primitive is planned: the number of threads is part of the plan.
void plan_for_all_threads();

// Lifts the limit on oneDNN's instruction sets that ONEDNN_MAX_CPU_ISA sets: it helps MindSpore's own convolutions and
// harms these. Too late, and without effect, once oneDNN has run anything.
extern "C" void use_all_instructions();

// Whether the library that is loaded is the one that the headers describe: of the same major version, no older than
// they are, and with MindSpore's kind of threads.
extern "C" int onednn_fits();
