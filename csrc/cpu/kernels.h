// The loops that an instruction-set tier offers. No torch type and nothing of the standard library
// that holds code, since every tier is compiled for another machine.
#pragma once

#include "../arguments/bernoulli.h"
#include "../arguments/columns.h"
#include "../arguments/elements.h"
#include "../arguments/numbers.h"
#include "../arguments/power_angle.h"
#include "../arguments/sample.h"
#include "../arguments/scaled_sample.h"

namespace hvae {

// A task is a unit of work whose bits do not depend on how tasks are spread over threads.
template <class Arguments>
struct Loop {
  int64_t (*tasks)(const Arguments&);
  void (*run)(const Arguments&, int64_t first_task, int64_t last_task);
};

template <class T>
struct CpuKernels {
  Loop<ColumnsArguments<T>> columns;
  Loop<ElementsArguments<T>> elements;
  Loop<SampleArguments<T>> prepare;  // then draw
  Loop<SampleArguments<T>> draw;
  Loop<SampleBackwardArguments<T>> sample_backward;
  Loop<ScaledSampleArguments<T>> scaled_prepare;  // then scaled_draw, then scaled_finish
  Loop<ScaledSampleArguments<T>> scaled_draw;
  Loop<ScaledSampleArguments<T>> scaled_finish;
  Loop<ScaledSampleBackwardArguments<T>> scaled_sample_backward;
  Loop<BernoulliArguments<T>> bernoulli;
  Loop<BernoulliArguments<T>> bernoulli_backward;
  Loop<NumbersArguments<T>> numbers;
  Loop<PowerAngleArguments<T>> power_angle;
  Loop<PowerAngleArguments<T>> power_angle_slope;
};

struct CpuTier {
  const char* name;
  const CpuKernels<float>& float32;
  const CpuKernels<double>& float64;

  template <class T>
  const CpuKernels<T>& of() const {
    if constexpr (sizeof(T) == 4) {
      return float32;
    } else {
      return float64;
    }
  }
};

}  // namespace hvae
