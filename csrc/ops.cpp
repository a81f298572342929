// The schema of every op, each once, and the CPU side: the current tier's kernels over torch's
// thread pool.
#include <algorithm>
#include <string>

#include "cpu/tiers.h"
#include "tensors.h"

namespace hvae {
namespace {

// Tasks that are worth another thread.
constexpr int64_t kGrain = 2;

template <class A>
void run(int64_t tasks, void (*kernel)(const A&, int64_t, int64_t), const A& arguments,
         int64_t grain = kGrain) {
  torch::stable::parallel_for(0, tasks, grain,
                              [&](int64_t first, int64_t last) { kernel(arguments, first, last); });
}

std::tuple<Tensor, Tensor> columns(const Tensor k, std::vector<double> orders, int64_t quantity) {
  Columns c(k, std::move(orders), quantity);
  with_type(k, [&]<class T>(T) {
    const auto& kernels = current_tier().of<T>();
    const auto a = c.arguments<T>();
    if (a.rows) run(kernels.columns_tasks(a), kernels.columns, a);
  });
  return {c.value, c.slope};
}

std::tuple<Tensor, Tensor> elements(const Tensor order, const Tensor k, int64_t quantity) {
  Elements e(order, k, quantity);
  with_type(k, [&]<class T>(T) {
    const auto& kernels = current_tier().of<T>();
    const auto a = e.arguments<T>();
    run(kernels.elements_tasks(a), kernels.elements, a);
  });
  return {e.value, e.slope};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> sample(const Tensor head, const Tensor kappa,
                                                          std::vector<int64_t> dims,
                                                          const Tensor rng, int64_t samples,
                                                          int64_t) {
  Sample s(head, kappa, dims, rng, samples);
  with_type(head, [&]<class T>(T) {
    const auto& kernels = current_tier().of<T>();
    const auto a = s.arguments<T>();
    if (a.rows == 0) return;
    run(kernels.prepare_tasks(a), kernels.prepare, a);
    run(kernels.draw_tasks(a), kernels.draw, a);
  });
  return s.result();
}

std::tuple<Tensor, Tensor> sample_backward(const Tensor grad_z, const Tensor grad_kl,
                                           const Tensor head, const Tensor kappa,
                                           const Tensor theta, const Tensor kl_slope,
                                           std::vector<int64_t> dims, const Tensor rng,
                                           int64_t gradient) {
  SampleBackward s(grad_z, grad_kl, head, kappa, theta, kl_slope, dims, rng, gradient);
  with_type(grad_z, [&]<class T>(T) {
    const auto& kernels = current_tier().of<T>();
    const auto a = s.arguments<T>();
    if (a.rows) run(kernels.sample_backward_tasks(a), kernels.sample_backward, a);
  });
  return {s.grad_head, s.grad_k};
}

// Rows of pixels that are worth another thread.
int64_t row_grain(const Bernoulli& b) {
  return std::max<int64_t>(1, 8192 / std::max<int64_t>(1, b.pixels));
}

Tensor bernoulli(const Tensor logits, const Tensor x) {
  Bernoulli b("hvae::bernoulli", nullptr, logits, x);
  with_type(logits, [&]<class T>(T) {
    run(b.rows, current_tier().of<T>().bernoulli, b.arguments<T>(), row_grain(b));
  });
  return b.out;
}

Tensor bernoulli_backward(const Tensor grad, const Tensor logits, const Tensor x) {
  Bernoulli b("hvae::bernoulli_backward", &grad, logits, x);
  with_type(logits, [&]<class T>(T) {
    run(b.rows, current_tier().of<T>().bernoulli_backward, b.arguments<T>(), row_grain(b));
  });
  return b.out;
}

Tensor numbers(const Tensor rng, int64_t samples, int64_t rows, int64_t each, int64_t shell,
               bool normal, ScalarType dtype) {
  Numbers n(rng, samples, rows, each, shell, normal, dtype);
  with_type(n.out, [&]<class T>(T) {
    const auto& kernels = current_tier().of<T>();
    const auto a = n.arguments<T>();
    if (n.out.numel()) run(kernels.numbers_tasks(a), kernels.numbers, a);
  });
  return n.out;
}

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
  m.def("columns(Tensor k, float[] orders, int quantity) -> (Tensor, Tensor)");
  m.def("elements(Tensor order, Tensor k, int quantity) -> (Tensor, Tensor)");
  m.def(
      "sample(Tensor head, Tensor kappa, int[] dims, Tensor rng, int samples, int gradient)"
      " -> (Tensor, Tensor, Tensor, Tensor, Tensor)");
  m.def(
      "sample_backward(Tensor grad_z, Tensor grad_kl, Tensor head, Tensor kappa, Tensor theta, "
      "Tensor kl_slope,"
      " int[] dims, Tensor rng, int gradient) -> (Tensor, Tensor)");
  m.def("bernoulli(Tensor logits, Tensor x) -> Tensor");
  m.def("bernoulli_backward(Tensor grad, Tensor logits, Tensor x) -> Tensor");
  m.def(
      "numbers(Tensor rng, int samples, int rows, int each, int shell, bool normal, ScalarType "
      "dtype) -> Tensor");
  m.def("tiers() -> str");
  m.def("tier() -> str");
  m.def("use_tier(str name) -> ()");
  m.def("built_with_cuda() -> bool");
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CPU, m) {
  m.impl("columns", TORCH_BOX(&hvae::columns));
  m.impl("elements", TORCH_BOX(&hvae::elements));
  m.impl("sample", TORCH_BOX(&hvae::sample));
  m.impl("sample_backward", TORCH_BOX(&hvae::sample_backward));
  m.impl("bernoulli", TORCH_BOX(&hvae::bernoulli));
  m.impl("bernoulli_backward", TORCH_BOX(&hvae::bernoulli_backward));
  m.impl("numbers", TORCH_BOX(&hvae::numbers));
}

STABLE_TORCH_LIBRARY_IMPL(hvae, CompositeExplicitAutograd, m) {
  m.impl("tiers", TORCH_BOX(&hvae::tiers));
  m.impl("tier", TORCH_BOX(&hvae::tier));
  m.impl("use_tier", TORCH_BOX(&hvae::use_tier_named));
  m.impl("built_with_cuda", TORCH_BOX(&hvae::built_with_cuda));
}
