// How numbers lie in memory: float, or bfloat16. Arithmetic on them is in float.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

// The upper half of a float.
struct BFloat16 {
  uint16_t bits;
};

inline float load(float stored) { return stored; }

inline float load(BFloat16 stored) {
  const uint32_t bits = uint32_t{stored.bits} << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store(float value, float& to) { to = value; }

// Rounds to the nearest, of two equally near ones to the even one. NaN stays NaN.
inline void store(float value, BFloat16& to) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1), quiet = bits | 0x400000;
  to.bits = ((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded) >> 16;
}

inline bool is_bfloat16(const char* type) {
  const std::string name(type);
  if (name != "float32" && name != "bfloat16") throw std::invalid_argument("neither float32 nor bfloat16: " + name);
  return name == "bfloat16";
}

// Calls work(T{}), where T is how a tensor of MindSpore's type `type` is stored.
template <class Work>
void with_storage(const char* type, const Work& work) {
  if (is_bfloat16(type)) {
    work(BFloat16{});
  } else {
    work(float{});
  }
}
