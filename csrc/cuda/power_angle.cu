// Angles of draws of the Power Spherical distribution on the GPU, a thread a draw, and their
// derivatives. The stream's (key, step, row, sample) is read from device memory, so a CUDA graph can
// advance it.
#include "../math/power_angle.h"
#include "../torch/power_angle.h"
#include "device.h"

namespace hvae {
namespace {

template <class T>
__global__ void power_angle_kernel(PowerAngleArguments<T> a) {
  const Stream stream(a.rng);
  const uint32_t base = first_block(a.shell);
  for (int64_t i = thread_index(); i < a.samples * a.rows; i += thread_count()) {
    const uint32_t row = stream.row + uint32_t(i % a.rows);
    const uint32_t sample = stream.sample + uint32_t(i / a.rows);
    const PowerAngle<T> scheme(a.k[i % a.rows], T(a.m));
    for (uint32_t attempt = 0;; ++attempt) {
      Word<T> n[3];
      proposal_integers<T>(stream, row, sample, base, attempt, n);
      const Proposal<T> p = scheme.propose(n[0], n[1]);
      if (scheme.refused(p, n[2])) continue;
      a.theta[i] = scheme.angle(p).theta;
      break;
    }
  }
}

template <class T>
__global__ void power_angle_slope_kernel(PowerAngleArguments<T> a) {
  for (int64_t i = thread_index(); i < a.samples * a.rows; i += thread_count())
    a.slope[i] = power_angle_slope<T>(T(a.m), a.theta[i], a.k[i % a.rows]);
}

Tensor power_angle(const Tensor k, int64_t m, const Tensor rng, int64_t samples, int64_t shell) {
  PowerAngles p(k, m, rng, samples, shell);
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  with_type(k, [&]<class T>(T) {
    const auto a = p.arguments<T>();
    if (p.theta.numel() == 0) return;
    power_angle_kernel<T><<<blocks_for(p.theta.numel()), kThreads, 0, current_stream(k)>>>(a);
    check_launch("hvae::power_angle");
  });
  return p.theta;
}

Tensor power_angle_slopes(const Tensor k, const Tensor theta, int64_t m) {
  PowerAngleSlopes p(k, theta, m);
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  with_type(k, [&]<class T>(T) {
    const auto a = p.arguments<T>();
    if (p.slope.numel() == 0) return;
    power_angle_slope_kernel<T><<<blocks_for(p.slope.numel()), kThreads, 0, current_stream(k)>>>(a);
    check_launch("hvae::power_angle_slope");
  });
  return p.slope;
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) {
  m.impl("power_angle", TORCH_BOX(&hvae::power_angle));
  m.impl("power_angle_slope", TORCH_BOX(&hvae::power_angle_slopes));
}
