// The angle of a draw on the GPU: each lane of a tile tries one of Wood's proposals, the first accepted
// of which is the draw that a loop over proposals would have made.
#pragma once

#include "../math/wood.h"
#include "layout.h"

namespace hvae {
namespace {

template <class T, class L>
__device__ Angle<T> draw_angle(const Tile<L>& tile, const Stream& stream, uint32_t base,
                               uint32_t row, uint32_t sample, T k, int m) {
  if (m == 3) return angle_on_sphere<T>(k, integer<T>(block_at<T>(stream, row, sample, base), 0));
  const Wood<T> wood(k, T(m));
  for (uint32_t attempt = tile.thread_rank();; attempt += L::lanes) {
    Word<T> n[3];
    proposal_integers<T>(stream, row, sample, base, attempt, n);
    Proposal<T> p = wood.propose(n[0], n[1]);
    const bool refused = wood.refused(p, n[2]);
    if constexpr (L::lanes == 1) {
      if (!refused) return wood.angle(p);
    } else {
      const unsigned accepted = tile.ballot(!refused);
      if (!accepted) continue;
      const int winner = __ffs(int(accepted)) - 1;
      p.eps = tile.shfl(p.eps, winner);
      p.one_minus_eps = tile.shfl(p.one_minus_eps, winner);
      return wood.angle(p);
    }
  }
}

}  // namespace
}  // namespace hvae
