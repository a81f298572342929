#include "tiers.h"

#include <atomic>
#include <cstdlib>

namespace hvae {

// Each in a unit of its own.
const CpuKernels<float>& portable_float32();
const CpuKernels<double>& portable_float64();
#if defined(__x86_64__)
const CpuKernels<float>& avx2_float32();
const CpuKernels<double>& avx2_float64();
const CpuKernels<float>& avx512_float32();
const CpuKernels<double>& avx512_float64();
#endif

std::vector<const CpuTier*> available_tiers() {
  static const CpuTier portable = {"portable", portable_float32(), portable_float64()};
  std::vector<const CpuTier*> tiers = {&portable};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    static const CpuTier avx2 = {"avx2", avx2_float32(), avx2_float64()};
    tiers.push_back(&avx2);
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512cd")) {
    static const CpuTier avx512 = {"avx512", avx512_float32(), avx512_float64()};
    tiers.push_back(&avx512);
  }
#endif
  return tiers;
}

static const CpuTier* find_tier(const std::string& name) {
  for (const CpuTier* tier : available_tiers())
    if (name == tier->name) return tier;
  return nullptr;
}

static const CpuTier* first_choice() {
  const char* wanted = std::getenv("HVAE_TIER");
  const CpuTier* tier = wanted ? find_tier(wanted) : nullptr;
  return tier ? tier : available_tiers().back();
}

static std::atomic<const CpuTier*>& selected() {
  static std::atomic<const CpuTier*> tier{first_choice()};
  return tier;
}

const CpuTier& current_tier() { return *selected().load(std::memory_order_relaxed); }

bool use_tier(const std::string& name) {
  const CpuTier* tier = find_tier(name);
  if (tier) selected().store(tier);
  return tier != nullptr;
}

}  // namespace hvae
