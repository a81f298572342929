// The instruction-set tiers of the CPU loops, and which of them runs.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace hvae {

// The tiers that this machine can run, the fastest last.
std::vector<const CpuTier*> available_tiers();

// The tier in use: the fastest, or the one named by the environment variable HVAE_TIER or by
// use_tier.
const CpuTier& current_tier();

// False if this machine does not have the tier.
bool use_tier(const std::string& name);

}  // namespace hvae
