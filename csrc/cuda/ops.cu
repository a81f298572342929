// The GPU side of every op, over the same headers as the CPU: one launch forward and one backward
// for all shells of all rows.
//
// A draw of a shell belongs to a tile of lanes. The lanes share the coordinates, block by block of
// the random stream, so that a lane meets the same coordinates in every pass; and each lane tries
// one of Wood's proposals, the first accepted of which is the draw that a loop over proposals would
// have made. The stream (key, step, row, sample) is read from device memory, so a CUDA graph can
// advance it.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cuda_runtime.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>

#include <algorithm>

#include "../implicit.h"
#include "../tensors.h"
#include "../vmf.h"
#include "../wood.h"

namespace hvae {
namespace {

namespace cg = cooperative_groups;

constexpr int kThreads = 256;
// Shells or columns whose tables travel with one launch, within the 4 KiB of a kernel's parameters.
constexpr int kShellsALaunch = 256;

cudaStream_t current_stream(const Tensor& t) {
  void* stream = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return static_cast<cudaStream_t>(stream);
}

void check_launch(const char* op) {
  const cudaError_t error = cudaGetLastError();
  STD_TORCH_CHECK(error == cudaSuccess, op, ": ", cudaGetErrorString(error));
}

unsigned blocks_for(int64_t threads) {
  return unsigned(std::min<int64_t>((threads + kThreads - 1) / kThreads, int64_t(1) << 30));
}

__device__ int64_t thread_index() { return int64_t(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ int64_t thread_count() { return int64_t(gridDim.x) * blockDim.x; }

// ---- quantities of the concentration ------------------------------------------------------------

struct OrderTable {
  double nu[kShellsALaunch];
};

template <Quantity kQuantity, class T>
__global__ void columns_kernel(ColumnsArguments<T> a, OrderTable orders, int64_t first,
                               int64_t count) {
  for (int64_t i = thread_index(); i < a.rows * count; i += thread_count()) {
    const int64_t at = i / count * a.columns + first + i % count;
    const auto result = evaluate<kQuantity>(FreeOrder<T>(T(orders.nu[i % count])), a.k[at]);
    a.value[at] = result.value;
    a.slope[at] = result.slope;
  }
}

template <Quantity kQuantity, class T>
__global__ void elements_kernel(ElementsArguments<T> a) {
  for (int64_t i = thread_index(); i < a.count; i += thread_count()) {
    const T nu = a.order[i];
    const bool inside = nu >= T(0) && nu < infinity<T>();
    const auto result = evaluate<kQuantity>(FreeOrder<T>(inside ? nu : T(0)), a.k[i]);
    a.value[i] = inside ? result.value : not_a_number<T>();
    a.slope[i] = inside ? result.slope : not_a_number<T>();
  }
}

template <int kQuantity = 0, class Work>
void with_quantity(int64_t quantity, const Work& work) {
  if constexpr (kQuantity < int(Quantity::kCount)) {
    if (quantity == kQuantity) {
      work.template operator()<static_cast<Quantity>(kQuantity)>();
    } else {
      with_quantity<kQuantity + 1>(quantity, work);
    }
  } else {
    STD_TORCH_CHECK(false, "hvae: no quantity has number ", quantity);
  }
}

std::tuple<Tensor, Tensor> columns(const Tensor k, std::vector<double> orders, int64_t quantity) {
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  Columns c(k, std::move(orders), quantity);
  with_type(k, [&]<class T>(T) {
    const auto a = c.arguments<T>();
    if (a.rows == 0) return;
    for (int64_t first = 0; first < a.columns; first += kShellsALaunch) {
      const int64_t count = std::min<int64_t>(kShellsALaunch, a.columns - first);
      OrderTable table{};
      std::copy_n(c.orders.data() + first, count, table.nu);
      with_quantity(quantity, [&]<Quantity kQuantity>() {
        columns_kernel<kQuantity, T>
            <<<blocks_for(a.rows * count), kThreads, 0, current_stream(k)>>>(a, table, first,
                                                                             count);
      });
    }
    check_launch("hvae::columns");
  });
  return {c.value, c.slope};
}

std::tuple<Tensor, Tensor> elements(const Tensor order, const Tensor k, int64_t quantity) {
  const torch::stable::accelerator::DeviceGuard guard(k.get_device_index());
  Elements e(order, k, quantity);
  with_type(k, [&]<class T>(T) {
    const auto a = e.arguments<T>();
    if (a.count == 0) return;
    with_quantity(quantity, [&]<Quantity kQuantity>() {
      elements_kernel<kQuantity, T><<<blocks_for(a.count), kThreads, 0, current_stream(k)>>>(a);
    });
    check_launch("hvae::elements");
  });
  return {e.value, e.slope};
}

// ---- the draw -----------------------------------------------------------------------------------

struct ShellTable {
  int32_t m[kShellsALaunch];
  int32_t offset[kShellsALaunch];
};

ShellTable shell_table(const Shells& shells, int64_t first, int64_t count) {
  ShellTable table{};
  for (int64_t i = 0; i < count; ++i) {
    table.m[i] = int32_t(shells.dims[first + i]);
    table.offset[i] = int32_t(shells.offsets[first + i]);
  }
  return table;
}

// Calls work(j) for the coordinates of this lane.
template <class T, class Tile, class Work>
__device__ void each_coordinate(const Tile& tile, int m, const Work& work) {
  constexpr int each = kNormalsEach<T>;
  for (int block = tile.thread_rank(); block * each < m; block += tile.num_threads())
    for (int j = block * each; j < min(m, block * each + each); ++j) work(j);
}

template <class T, class Tile>
__device__ T sum_over(const Tile& tile, T x) {
  return cg::reduce(tile, x, cg::plus<T>());
}

// A mean direction, coordinate by coordinate, from its raw head.
template <class T>
struct MeanDirection {
  const T* head;
  T scale, length;
  bool zero;

  template <class Tile>
  __device__ MeanDirection(const Tile& tile, const T* raw, int m) : head(raw) {
    T most = 0;
    each_coordinate<T>(tile, m, [&](int j) {
      const T x = magnitude(raw[j]);
      most = x > most || x != x ? x : most;
    });
    for (int step = tile.num_threads() / 2; step > 0; step /= 2) {
      const T other = tile.shfl_xor(most, step);
      most = other > most || other != other ? other : most;
    }
    scale = T(1) / (most == T(0) ? T(1) : most);
    zero = most == T(0) || scale == infinity<T>();
    scale = zero ? T(0) : scale;
    T square = 0;
    each_coordinate<T>(tile, m, [&](int j) { square += (raw[j] * scale) * (raw[j] * scale); });
    length = zero ? T(1) : square_root(sum_over(tile, square));
  }

  __device__ T operator()(int j) const { return zero ? T(j == 0) : head[j] * scale / length; }
  // 1 / |head|, 0 for a zero head.
  __device__ T inverse_norm() const { return scale / length; }
};

template <class T>
__device__ WordBlock<Word<T>> block_at(const Stream& stream, uint32_t row, uint32_t sample,
                                       uint32_t place) {
  return philox<Word<T>>(row, sample, place, stream.step, stream.key_low, stream.key_high);
}

template <class T, class Tile>
__device__ Angle<T> draw_angle(const Tile& tile, const Stream& stream, uint32_t base, uint32_t row,
                               uint32_t sample, T k, int m) {
  if (m == 3) return angle_on_sphere<T>(k, integer<T>(block_at<T>(stream, row, sample, base), 0));
  const Wood<T> wood(k, T(m));
  for (uint32_t attempt = tile.thread_rank();; attempt += tile.num_threads()) {
    Word<T> n[3];
    if constexpr (is_single<T>) {
      const auto block = block_at<T>(stream, row, sample, base + attempt);
      for (int i = 0; i < 3; ++i) n[i] = integer<T>(block, i);
    } else {
      const auto first = block_at<T>(stream, row, sample, base + 2 * attempt);
      const auto second = block_at<T>(stream, row, sample, base + 2 * attempt + 1);
      n[0] = integer<T>(first, 0), n[1] = integer<T>(first, 1), n[2] = integer<T>(second, 0);
    }
    Proposal<T> p = wood.propose(n[0], n[1]);
    const unsigned accepted = tile.ballot(!wood.refused(p, n[2]));
    if (accepted) {
      const int winner = __ffs(int(accepted)) - 1;
      p.eps = tile.shfl(p.eps, winner);
      p.one_minus_eps = tile.shfl(p.one_minus_eps, winner);
      return wood.angle(p);
    }
  }
}

// A unit tangent at mu, into t; the same words as on the CPU.
template <class T, class Tile>
__device__ void draw_tangent(const Tile& tile, const Stream& stream, uint32_t base, uint32_t row,
                             uint32_t sample, const MeanDirection<T>& mu, int m, T* t) {
  constexpr int each = kNormalsEach<T>;
  const uint32_t first = base + kTangentBlock;
  if (m == 2) {
    const bool negative = (block_at<T>(stream, row, sample, first).w[0] >> 31) != 0;
    const T sign = negative ? T(-1) : T(1);
    each_coordinate<T>(tile, m, [&](int j) { t[j] = j == 0 ? -sign * mu(1) : sign * mu(0); });
    return;
  }
  const uint32_t blocks = uint32_t((m + each - 1) / each);
  T length = 0;
  for (uint32_t attempt = 0; (attempt + 1) * blocks <= kTangentBlock; ++attempt) {
    for (uint32_t b = tile.thread_rank(); b < blocks; b += tile.num_threads()) {
      T g[4];
      normals<T>(block_at<T>(stream, row, sample, first + attempt * blocks + b), g);
      for (int i = 0; i < each && int(b) * each + i < m; ++i) t[b * each + i] = g[i];
    }
    for (int pass = 0; pass < 2; ++pass) {
      T along = 0;
      each_coordinate<T>(tile, m, [&](int j) { along += t[j] * mu(j); });
      along = sum_over(tile, along);
      each_coordinate<T>(tile, m, [&](int j) { t[j] -= along * mu(j); });
    }
    T square = 0;
    each_coordinate<T>(tile, m, [&](int j) { square += t[j] * t[j]; });
    length = square_root(sum_over(tile, square));
    if (!(length == T(0))) break;
  }
  const T inverse = T(1) / length;
  each_coordinate<T>(tile, m, [&](int j) { t[j] *= inverse; });
}

template <int kTile, class T>
__global__ void sample_kernel(SampleArguments<T> a, ShellTable table, int first_shell, int count) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const Stream stream(a.rng);
  const int64_t items = a.samples * a.rows * count;
  for (int64_t item = thread_index() / kTile; item < items; item += thread_count() / kTile) {
    const int index = int(item % count), m = table.m[index], shell = first_shell + index;
    const int64_t draw = item / count, row = draw % a.rows, sample = draw / a.rows;
    const T k = a.k[row * a.k_row + shell * a.k_column];
    const uint32_t base = uint32_t(shell) * kBlocksPerShell;
    const uint32_t c0 = stream.row + uint32_t(row), c1 = stream.sample + uint32_t(sample);
    const MeanDirection<T> mu(tile, a.head + row * a.head_stride + table.offset[index], m);
    const Angle<T> angle = draw_angle(tile, stream, base, c0, c1, k, m);
    T* z = a.z + draw * a.shells.width + table.offset[index];
    draw_tangent(tile, stream, base, c0, c1, mu, m, z);
    const T cosine = T(1) - angle.v;
    each_coordinate<T>(tile, m, [&](int j) { z[j] = cosine * mu(j) + angle.sine * z[j]; });
    if (tile.thread_rank() == 0) {
      a.v[draw * a.shells.count + shell] = angle.v;
      a.theta[draw * a.shells.count + shell] = angle.theta;
      if (sample == 0) {
        const auto kl = evaluate<Quantity::kDivergence>(FreeOrder<T>(T(m) / 2 - 1), k);
        a.kl[row * a.shells.count + shell] = kl.value;
        a.kl_slope[row * a.shells.count + shell] = kl.slope;
      }
    }
  }
}

// Lanes a draw: few for small shells, a warp for large ones.
template <class Work>
void with_tile(const PackedShells& packed, const Work& work) {
  const int64_t widest = *std::max_element(packed.dims.begin(), packed.dims.end());
  if (widest <= 16) {
    work(std::integral_constant<int, 4>());
  } else if (widest <= 64) {
    work(std::integral_constant<int, 16>());
  } else {
    work(std::integral_constant<int, 32>());
  }
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> sample(const Tensor head, const Tensor kappa,
                                                          std::vector<int64_t> dims,
                                                          const Tensor rng, int64_t samples,
                                                          int64_t) {
  const torch::stable::accelerator::DeviceGuard guard(head.get_device_index());
  Sample s(head, kappa, dims, rng, samples);
  STD_TORCH_CHECK(rng.is_cuda(), "hvae::sample: rng must be on the device of head");
  with_type(head, [&]<class T>(T) {
    const auto a = s.arguments<T>();
    if (a.rows == 0) return;
    with_tile(s.packed, [&]<int kTile>(std::integral_constant<int, kTile>) {
      for (int first = 0; first < a.shells.count; first += kShellsALaunch) {
        const int count = std::min(kShellsALaunch, a.shells.count - first);
        sample_kernel<kTile, T>
            <<<blocks_for(a.samples * a.rows * count * kTile), kThreads, 0, current_stream(head)>>>(
                a, shell_table(a.shells, first, count), first, count);
      }
    });
    check_launch("hvae::sample");
  });
  return s.result();
}

// ---- the gradient of a draw ---------------------------------------------------------------------

template <int kTile, class T>
__global__ void sample_backward_kernel(SampleBackwardArguments<T> a, ShellTable table,
                                       int first_shell, int count, T* tangents) {
  const auto tile = cg::tiled_partition<kTile>(cg::this_thread_block());
  const Stream stream(a.rng);
  const int64_t items = a.rows * count;
  for (int64_t item = thread_index() / kTile; item < items; item += thread_count() / kTile) {
    const int index = int(item % count), m = table.m[index], shell = first_shell + index;
    const int64_t row = item / count, at = row * a.shells.count + shell;
    const T k = a.k[row * a.k_row + shell * a.k_column];
    const uint32_t base = uint32_t(shell) * kBlocksPerShell;
    const MeanDirection<T> mu(tile, a.head + row * a.head_stride + table.offset[index], m);
    const T one_minus_A = evaluate<Quantity::kRatioComplement>(FreeOrder<T>(T(m) / 2 - 1), k).value;
    T* g = a.grad_head + row * a.shells.width + table.offset[index];
    T* t = tangents + row * a.shells.width + table.offset[index];
    T grad_k = a.grad_kl[at] * a.kl_slope[at];
    each_coordinate<T>(tile, m, [&](int j) { g[j] = 0; });
    for (int64_t sample = 0; sample < a.samples; ++sample) {
      const int64_t draw = sample * a.rows + row;
      const T* gz = a.grad_z + draw * a.shells.width + table.offset[index];
      const T theta = a.theta[draw * a.shells.count + shell];
      draw_tangent(tile, stream, base, stream.row + uint32_t(row), stream.sample + uint32_t(sample),
                   mu, m, t);
      T sine_half, cosine_half;
      sine_cosine(T(0.5) * theta, sine_half, cosine_half);
      const T sine = T(2) * sine_half * cosine_half, cosine = T(1) - T(2) * sine_half * sine_half;
      T along_mu = 0, along_t = 0;
      each_coordinate<T>(tile, m, [&](int j) {
        along_mu += gz[j] * mu(j);
        along_t += gz[j] * t[j];
      });
      along_mu = sum_over(tile, along_mu);
      along_t = sum_over(tile, along_t);
      const T slope = a.gradient == AngleGradient::kImplicit
                          ? implicit_slope<T>(T(m), theta, k, one_minus_A)
                          : naive_slope<T>(T(m), sine, k);
      grad_k += slope * (cosine * along_t - sine * along_mu);
      each_coordinate<T>(tile, m, [&](int j) {
        g[j] += cosine * gz[j] - along_mu * (cosine * mu(j) + sine * t[j]);
      });
    }
    const T inverse = mu.inverse_norm();
    each_coordinate<T>(tile, m, [&](int j) { g[j] *= inverse; });
    if (tile.thread_rank() == 0) a.grad_k[at] = grad_k;
  }
}

std::tuple<Tensor, Tensor> sample_backward(const Tensor grad_z, const Tensor grad_kl,
                                           const Tensor head, const Tensor kappa,
                                           const Tensor theta, const Tensor kl_slope,
                                           std::vector<int64_t> dims, const Tensor rng,
                                           int64_t gradient) {
  const torch::stable::accelerator::DeviceGuard guard(head.get_device_index());
  SampleBackward s(grad_z, grad_kl, head, kappa, theta, kl_slope, dims, rng, gradient);
  const Tensor tangents = torch::stable::empty_like(s.grad_head);
  with_type(grad_z, [&]<class T>(T) {
    const auto a = s.arguments<T>();
    if (a.rows == 0) return;
    with_tile(s.packed, [&]<int kTile>(std::integral_constant<int, kTile>) {
      for (int first = 0; first < a.shells.count; first += kShellsALaunch) {
        const int count = std::min(kShellsALaunch, a.shells.count - first);
        sample_backward_kernel<kTile, T>
            <<<blocks_for(a.rows * count * kTile), kThreads, 0, current_stream(head)>>>(
                a, shell_table(a.shells, first, count), first, count,
                tangents.mutable_data_ptr<T>());
      }
    });
    check_launch("hvae::sample_backward");
  });
  return {s.grad_head, s.grad_k};
}

// ---- Bernoulli pixels ---------------------------------------------------------------------------

template <class T>
__device__ T pixel(const BernoulliArguments<T>& a, int64_t at) {
  return a.x ? a.x[at] : T(a.x_byte[at]);
}

template <class T>
__global__ void bernoulli_kernel(BernoulliArguments<T> a) {
  const auto warp = cg::tiled_partition<32>(cg::this_thread_block());
  for (int64_t row = thread_index() / 32; row < a.rows; row += thread_count() / 32) {
    const int64_t image = row % a.images * a.pixels;
    T sum = 0;
    for (int64_t j = warp.thread_rank(); j < a.pixels; j += 32) {
      const T l = a.logits[row * a.pixels + j];
      sum += (pixel(a, image + j) * l - larger(l, T(0))) - log1p_of_fraction(exp_of_minus(l));
    }
    sum = sum_over(warp, sum);
    if (warp.thread_rank() == 0) a.out[row] = sum;
  }
}

template <class T>
__global__ void bernoulli_backward_kernel(BernoulliArguments<T> a) {
  for (int64_t i = thread_index(); i < a.rows * a.pixels; i += thread_count()) {
    const int64_t row = i / a.pixels;
    const T l = a.logits[i], e = exp_of_minus(l);
    a.out[i] = a.grad[row] * (pixel(a, row % a.images * a.pixels + i % a.pixels) -
                              (l >= T(0) ? T(1) : e) / (e + T(1)));
  }
}

Tensor bernoulli(const Tensor logits, const Tensor x) {
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  Bernoulli b("hvae::bernoulli", nullptr, logits, x);
  with_type(logits, [&]<class T>(T) {
    const auto a = b.arguments<T>();
    if (a.rows == 0) return;
    bernoulli_kernel<T><<<blocks_for(a.rows * 32), kThreads, 0, current_stream(logits)>>>(a);
    check_launch("hvae::bernoulli");
  });
  return b.out;
}

Tensor bernoulli_backward(const Tensor grad, const Tensor logits, const Tensor x) {
  const torch::stable::accelerator::DeviceGuard guard(logits.get_device_index());
  Bernoulli b("hvae::bernoulli_backward", &grad, logits, x);
  with_type(logits, [&]<class T>(T) {
    const auto a = b.arguments<T>();
    if (a.rows * a.pixels == 0) return;
    bernoulli_backward_kernel<T>
        <<<blocks_for(a.rows * a.pixels), kThreads, 0, current_stream(logits)>>>(a);
    check_launch("hvae::bernoulli_backward");
  });
  return b.out;
}

// ---- numbers ------------------------------------------------------------------------------------

template <class T>
__global__ void numbers_kernel(NumbersArguments<T> a) {
  constexpr int each = 4 / kWordsEach<T>;
  const Stream stream(a.rng);
  const int64_t blocks = (a.each + each - 1) / each;
  for (int64_t i = thread_index(); i < a.samples * a.rows * blocks; i += thread_count()) {
    const int64_t block = i % blocks, row = i / blocks % a.rows, sample = i / blocks / a.rows;
    const auto words =
        block_at<T>(stream, stream.row + uint32_t(row), stream.sample + uint32_t(sample),
                    uint32_t(a.shell * kBlocksPerShell + block));
    T x[4];
    if (a.normal) {
      normals<T>(words, x);
    } else {
      for (int j = 0; j < each; ++j) x[j] = open_uniform<T>(integer<T>(words, j));
    }
    T* out = a.out + (sample * a.rows + row) * a.each + block * each;
    for (int j = 0; j < each && block * each + j < a.each; ++j) out[j] = x[j];
  }
}

Tensor numbers(const Tensor rng, int64_t samples, int64_t rows, int64_t each, int64_t shell,
               bool normal, ScalarType dtype) {
  const torch::stable::accelerator::DeviceGuard guard(rng.get_device_index());
  Numbers n(rng, samples, rows, each, shell, normal, dtype);
  with_type(n.out, [&]<class T>(T) {
    const auto a = n.arguments<T>();
    if (n.out.numel() == 0) return;
    numbers_kernel<T><<<blocks_for(n.out.numel()), kThreads, 0, current_stream(rng)>>>(a);
    check_launch("hvae::numbers");
  });
  return n.out;
}

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) {
  m.impl("columns", TORCH_BOX(&hvae::columns));
  m.impl("elements", TORCH_BOX(&hvae::elements));
  m.impl("sample", TORCH_BOX(&hvae::sample));
  m.impl("sample_backward", TORCH_BOX(&hvae::sample_backward));
  m.impl("bernoulli", TORCH_BOX(&hvae::bernoulli));
  m.impl("bernoulli_backward", TORCH_BOX(&hvae::bernoulli_backward));
  m.impl("numbers", TORCH_BOX(&hvae::numbers));
}
