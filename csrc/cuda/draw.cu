// The draw and its gradient on the GPU: one launch forward and one backward for all shells of all
// rows.
//
// A draw of a shell belongs to a tile of lanes. The lanes share the coordinates, block by block of
// the random stream, so that a lane meets the same coordinates in every pass; and each lane tries
// one of Wood's proposals, the first accepted of which is the draw that a loop over proposals would
// have made.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>

#include "../implicit.h"
#include "../vmf.h"
#include "../wood.h"
#include "device.h"

namespace hvae {
namespace {

namespace cg = cooperative_groups;

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

}  // namespace
}  // namespace hvae

STABLE_TORCH_LIBRARY_IMPL(hvae, CUDA, m) {
  m.impl("sample", TORCH_BOX(&hvae::sample));
  m.impl("sample_backward", TORCH_BOX(&hvae::sample_backward));
}
