// Seeds and the maps in which they grow, shared by the post-processing extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "components.hpp"

namespace kkdnet {

// Map with a border of zeros, so that the growth needs no bounds checks. Column `width` of a row is the right
// border of that row and the left border of the next.
template <typename T>
struct PaddedMap {
    std::int32_t height, width, stride;
    std::vector<T> values;

    PaddedMap(std::int32_t h, std::int32_t w)
        : height(h), width(w), stride(w + 1), values((static_cast<std::size_t>(h) + 2) * (w + 1) + 1, 0) {}
    std::int32_t row(std::int32_t y) const { return (y + 1) * stride; }
    // Where `values` holds the pixel with that index in the map without borders, y * width + x.
    std::int32_t cell(std::int32_t pixel) const { return pixel + stride + pixel / width; }
};

// By seed number: 1 for those of at least `min_area` pixels, 0 for those that are dropped.
inline std::vector<std::uint8_t> large_seeds(const Components& seeds, double min_area) {
    std::vector<std::uint8_t> kept(seeds.area.size(), 0);
    for (std::size_t seed = 1; seed < kept.size(); ++seed) {
        kept[seed] = static_cast<double>(seeds.area[seed]) >= min_area;
    }
    return kept;
}

}  // namespace kkdnet
