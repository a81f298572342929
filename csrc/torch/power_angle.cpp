// The op `power_angle` and the derivative of what it draws: their schemas, and the CPU.
#include "power_angle.h"

#include <torch/csrc/stable/library.h>

#include "parallel.h"

namespace hvae {
namespace {

Tensor power_angle(const Tensor k, int64_t m, const Tensor rng, int64_t samples, int64_t shell) {
  PowerAngles p(k, m, rng, samples, shell);
  with_type(k, [&]<class T>(T) { run(current_tier().of<T>().power_angle, p.arguments<T>()); });
  return p.theta;
}

Tensor power_angle_slope(const Tensor k, const Tensor theta, int64_t m) {
  PowerAngleSlopes p(k, theta, m);
  with_type(k,
            [&]<class T>(T) { run(current_tier().of<T>().power_angle_slope, p.arguments<T>()); });
  return p.slope;
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_FRAGMENT(hvae, m) {
  m.def("power_angle(Tensor k, int m, Tensor rng, int samples, int shell) -> Tensor");
  m.def("power_angle_slope(Tensor k, Tensor theta, int m) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) {
  m.impl("power_angle", TORCH_BOX(&hvae::power_angle));
  m.impl("power_angle_slope", TORCH_BOX(&hvae::power_angle_slope));
}
