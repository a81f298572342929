// The op `scaled_sample` and its gradient, packed: those of `sample` with scales.
#pragma once

#include "../arguments/scaled_sample.h"
#include "sample.h"

namespace hvae {

struct GivenScales {
  Tensor b;
  int64_t frame;
  bool centred;

  GivenScales(const char* op, const Tensor& given_b, int64_t given_frame, bool given_centred,
              const Tensor& raw_directions)
      : frame(given_frame), centred(given_centred) {
    check_like(op, "raw_scales", given_b, "raw_directions", raw_directions);
    STD_TORCH_CHECK(given_b.dim() == 2 && given_b.size(0) == raw_directions.size(0) &&
                        given_b.size(1) == raw_directions.size(1),
                    op, ": raw_scales must have the shape of raw_directions");
    STD_TORCH_CHECK(frame == int64_t(ScaleFrame::kMean) || frame == int64_t(ScaleFrame::kFixed), op,
                    ": no frame has number ", frame);
    b = with_contiguous_rows(given_b);
  }

  template <class T>
  RawScales<T> arguments() const {
    return {.frame = static_cast<ScaleFrame>(frame),
            .centred = centred,
            .b = b.const_data_ptr<T>(),
            .stride = b.stride(0)};
  }
};

struct ScaledSample {
  Sample x;
  GivenScales raw;
  Tensor stretch, volume;

  ScaledSample(const Tensor& raw_directions, const Tensor& kappa, const Tensor& raw_scales,
               const std::vector<int64_t>& dims, const Tensor& rng, int64_t samples, int64_t frame,
               bool centred, int64_t shell)
      : x(raw_directions, kappa, dims, rng, samples, shell, "hvae::scaled_sample"),
        raw("hvae::scaled_sample", raw_scales, frame, centred, raw_directions),
        stretch(new_empty(x.raw, {samples, x.rows, x.packed.count()})),
        volume(new_empty(x.raw, {x.rows, x.packed.count()})) {}

  template <class T>
  ScaledSampleArguments<T> arguments() const {
    return {.x = x.arguments<T>(),
            .raw = raw.arguments<T>(),
            .scale = nullptr,
            .scale_less_one = nullptr,
            .stretch = stretch.mutable_data_ptr<T>(),
            .volume = volume.mutable_data_ptr<T>()};
  }

  std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> result() const {
    return {x.z, x.v, x.theta, stretch, volume, x.kl, x.kl_slope};
  }
};

struct ScaledSampleBackward {
  SampleBackward x;
  GivenScales raw;
  Tensor grad_b;

  ScaledSampleBackward(const Tensor& grad_z, const Tensor& grad_kl, const Tensor& raw_directions,
                       const Tensor& kappa, const Tensor& raw_scales, const Tensor& theta,
                       const Tensor& kl_slope, const std::vector<int64_t>& dims, const Tensor& rng,
                       int64_t frame, bool centred, int64_t gradient, int64_t shell)
      : x(grad_z, grad_kl, raw_directions, kappa, theta, kl_slope, dims, rng, gradient, shell,
          "hvae::scaled_sample_backward"),
        raw("hvae::scaled_sample_backward", raw_scales, frame, centred, raw_directions),
        grad_b(new_empty(x.raw, {x.rows, x.packed.width})) {}

  template <class T>
  ScaledSampleBackwardArguments<T> arguments() const {
    return {
        .x = x.arguments<T>(), .raw = raw.arguments<T>(), .grad_b = grad_b.mutable_data_ptr<T>()};
  }

  std::tuple<Tensor, Tensor, Tensor> result() const { return {x.grad_raw, x.grad_k, grad_b}; }
};

}  // namespace hvae
