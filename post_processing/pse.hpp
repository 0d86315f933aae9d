// Progressive scale expansion: grows the smallest text kernels through the larger ones into text instances
// (PSENet, Wang et al., CVPR 2019, Algorithm 1).
// reference.py states the same definition in plain Python; the two agree label for label.
#pragma once

#include <cstddef>
#include <cstdint>

#include "components.hpp"
#include "growth.hpp"

namespace kkdnet {

// kernels: count x height x width, text mask first, then kernels from large to small, non-zero = set;
// out: height x width, zeros; all row-major.
inline void expand_scales(const std::uint8_t* kernels, std::size_t count, std::int32_t height, std::int32_t width,
                          double min_area, std::int32_t* out) {
    const std::size_t plane = static_cast<std::size_t>(height) * width;
    const Components seeds = find_components(kernels + (count - 1) * plane, height, width);
    Growth growth(seeds, large_seeds(seeds, min_area), height, width);
    for (std::size_t level = count - 1; level-- > 0 && !growth.has_ended();) {
        growth.through(kernels + level * plane);
    }
    growth.merge_into(out);
}

}  // namespace kkdnet
