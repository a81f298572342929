// The namespace of the ops, and what a build says of itself: its instruction-set tiers, its CUDA.
#include <torch/csrc/stable/library.h>

#include <string>

#include "../cpu/tiers.h"

namespace hvae {
namespace {

std::string tiers() {
  std::string names;
  for (const CpuTier* tier : available_tiers())
    names += (names.empty() ? "" : " ") + std::string(tier->name);
  return names;
}

std::string tier() { return current_tier().name; }

void use_tier_named(std::string name) {
  STD_TORCH_CHECK(use_tier(name), "tier ", name, " is not available here; allowed: ", tiers());
}

bool built_with_cuda() {
#ifdef HVAE_WITH_CUDA
  return true;
#else
  return false;
#endif
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY(hvae, m) {
  m.def("tiers() -> str");
  m.def("tier() -> str");
  m.def("use_tier(str name) -> ()");
  m.def("built_with_cuda() -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CompositeExplicitAutograd, m) {
  m.impl("tiers", TORCH_BOX(&hvae::tiers));
  m.impl("tier", TORCH_BOX(&hvae::tier));
  m.impl("use_tier", TORCH_BOX(&hvae::use_tier_named));
  m.impl("built_with_cuda", TORCH_BOX(&hvae::built_with_cuda));
}
