// Progressive scale expansion: grows the smallest text kernels through the larger ones into text instances
// (PSENet, Wang et al., CVPR 2019, Algorithm 1).
// reference.py states the same definition in plain Python; the two agree label for label.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "components.hpp"
#include "growth.hpp"

namespace kkdnet {

// What a pixel is while labels spread through one scale. Bits, so that `or` tells the highest of several.
constexpr std::uint8_t kTaken = 0;      // it has a label, or belongs to the border
constexpr std::uint8_t kFree = 1;       // it has no label and is not set in this scale
constexpr std::uint8_t kClaimable = 3;  // it has no label and is set in this scale

using States = PaddedMap<std::uint8_t>;

// A pixel in the queue and its label, which is written when the pixel is taken.
struct Claim {
    std::int32_t cell;   // the pixel in the states
    std::int32_t pixel;  // the pixel in the label map
    std::int32_t label;
};

// Takes the seed pixels, puts them in `queue` in row-major order and returns their number.
inline std::size_t place_seeds(const Components& seeds, double min_area, States& states, Claim* queue) {
    const std::vector<std::uint8_t> kept = large_seeds(seeds, min_area);
    std::size_t tail = 0;
    for (const Run& run : seeds.runs) {
        if (!kept[run.component]) continue;
        const std::int32_t begin = states.cell(run.begin);
        std::fill_n(states.values.data() + begin, run.end - run.begin, kTaken);
        for (std::int32_t i = 0; i < run.end - run.begin; ++i) {
            queue[tail++] = {begin + i, run.begin + i, run.component};
        }
    }
    return tail;
}

// Makes the pixels without a label that are set in `kernel`, height x width, claimable and no others.
inline void open_scale(const std::uint8_t* kernel, States& states) {
    for (std::int32_t y = 0; y < states.height; ++y) {
        const std::uint8_t* source = kernel + static_cast<std::size_t>(y) * states.width;
        std::uint8_t* state = states.values.data() + states.row(y);
        for (std::int32_t x = 0; x < states.width; ++x) {
            const std::uint8_t scale = source[x] ? kClaimable : kFree;
            state[x] = state[x] ? scale : kTaken;
        }
    }
}

// Breadth-first growth over claimable pixels from the first `tail` claims of `queue`. Leaves at the front of
// `queue` the pixels from which nothing was labelled, in the order in which they were taken, and returns their
// number. Those whose four neighbours are all taken are left out: they can never label anything, so no label
// depends on them. Whether a pixel is claimable cannot be predicted: hence assignments instead of branches.
inline std::size_t expand(States& states, Claim* queue, std::size_t tail, std::int32_t* out) {
    const std::int32_t steps[4][2] = {
        {-states.stride, -states.width}, {states.stride, states.width}, {-1, -1}, {1, 1}};
    std::uint8_t* state = states.values.data();
    std::size_t carried = 0;  // at most `head`: what is carried on overwrites only what has been taken
    for (std::size_t head = 0; head < tail; ++head) {
        const Claim claim = queue[head];
        out[claim.pixel] = claim.label;
        std::uint8_t around = kTaken;
        for (const auto& [cell_step, pixel_step] : steps) {
            std::uint8_t& neighbour = state[claim.cell + cell_step];
            const bool claimed = neighbour == kClaimable;
            around |= neighbour;
            neighbour = claimed ? kTaken : neighbour;
            queue[tail] = {claim.cell + cell_step, claim.pixel + pixel_step, claim.label};
            tail += claimed;
        }
        queue[carried] = claim;
        carried += around == kFree;
    }
    return carried;
}

// kernels: count x height x width, text mask first, then kernels from large to small, non-zero = set;
// out: height x width, zeros; all row-major.
inline void expand_scales(const std::uint8_t* kernels, std::size_t count, std::int32_t height, std::int32_t width,
                          double min_area, std::int32_t* out) {
    const std::size_t plane = static_cast<std::size_t>(height) * width;
    States states(height, width);
    for (std::int32_t y = 0; y < height; ++y) std::fill_n(states.values.data() + states.row(y), width, kFree);

    // No pixel stands in the queue twice; one claim more, since a write may run ahead of the count.
    const std::unique_ptr<Claim[]> queue(new Claim[plane + 1]);
    const Components seeds = find_components(kernels + (count - 1) * plane, height, width);
    std::size_t tail = place_seeds(seeds, min_area, states, queue.get());
    for (std::size_t level = count - 1; level-- > 0 && tail > 0;) {
        open_scale(kernels + level * plane, states);
        tail = expand(states, queue.get(), tail, out);
    }
}

}  // namespace kkdnet
