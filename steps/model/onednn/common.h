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

// Only the operator whose turn it is may use the stream and its memory.
dnnl::stream& stream_of_turn();
enum class Scratch { kPrimitive, kWeights, kX, kY };
void* scratch(size_t bytes, Scratch use = Scratch::kPrimitive);

// Call this before a primitive is planned: the number of threads is part of the plan.
void plan_for_all_threads();

// Lifts the limit that ONEDNN_MAX_CPU_ISA sets on oneDNN's instructions. The limit helps MindSpore's own convolutions
// and slows these operators down. Once oneDNN has run anything, this has no effect.
extern "C" void use_all_instructions();

// Whether the library that is loaded is the one that the headers describe: of the same major version, no older than
// they are, and with MindSpore's kind of threads.
extern "C" int onednn_fits();
