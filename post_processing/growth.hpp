// Breadth-first growth of labels from seeds, shared by the post-processing extensions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "components.hpp"

namespace kkdnet {

// By seed number: 1 for those of at least `min_area` pixels, 0 for those that are dropped.
inline std::vector<std::uint8_t> large_seeds(const Components& seeds, double min_area) {
    std::vector<std::uint8_t> kept(seeds.area.size(), 0);
    for (std::size_t seed = 1; seed < kept.size(); ++seed) {
        kept[seed] = static_cast<double>(seeds.area[seed]) >= min_area;
    }
    return kept;
}

// Map with a border of zeros, so that growth needs no bounds checks. Column `width` of a row is the right border of
// that row and the left border of the next.
template <typename T>
struct PaddedMap {
    const std::int32_t height, width, stride;
    std::vector<T> values;

    PaddedMap(std::int32_t h, std::int32_t w)
        : height(h), width(w), stride(w + 1), values((static_cast<std::size_t>(h) + 2) * (w + 1) + 1, 0) {}

    // Where `values` holds the pixel with that index in the map without borders, y * width + x.
    std::int32_t cell(std::int32_t pixel) const { return pixel + stride + pixel / width; }
    std::int32_t pixel(std::int32_t cell) const { return cell - stride - cell / stride + 1; }
};

// What a pixel is while labels spread through a mask.
constexpr std::uint8_t kTaken = 0;      // it has a label, or belongs to the border
constexpr std::uint8_t kFree = 1;       // it has no label and is not set in the mask
constexpr std::uint8_t kClaimable = 2;  // it has no label and is set in the mask

// Labels that spread from seeds, breadth-first over the 4-neighbours, through one mask after another.
class Growth {
public:
    // Starts from the pixels of the kept seeds in row-major order.
    Growth(const Components& seeds, const std::vector<std::uint8_t>& kept, std::int32_t height, std::int32_t width)
        : states_(height, width), labels_(height, width), queue_(new Claim[states_.values.size()]) {
        for (std::int32_t y = 0; y < height; ++y) {
            std::fill_n(states_.values.data() + states_.cell(y * width), width, kFree);
        }
        for (const Run& run : seeds.runs) {
            if (!kept[run.component]) continue;
            const std::int32_t begin = states_.cell(run.begin), count = run.end - run.begin;
            std::fill_n(states_.values.data() + begin, count, kTaken);
            std::fill_n(labels_.values.data() + begin, count, run.component);
        }
        for (const Run& run : seeds.runs) {
            if (kept[run.component]) enqueue(states_.cell(run.begin), run.end - run.begin, run.component);
        }
    }

    // Spreads over the set pixels of `mask`, height x width, from the pixels at hand. Those from which nothing was
    // labelled are at hand afterwards, in the order in which they were taken.
    void through(const std::uint8_t* mask) { through(mask, nullptr); }

    // Where `may_join(label, pixel)` is false, a pixel does not accept that label.
    template <typename MayJoin>
    void through(const std::uint8_t* mask, MayJoin may_join) {
        open(mask);
        spread(may_join);
    }

    bool has_ended() const { return count_ == 0; }

    // Writes the labels into `out`, height x width, which is zero where there is one.
    void merge_into(std::int32_t* out) const {
        const std::int32_t width = labels_.width;
        for (std::int32_t y = 0; y < labels_.height; ++y) {
            const std::int32_t* label = labels_.values.data() + labels_.cell(y * width);
            for (std::int32_t x = 0; x < width; ++x) out[x] |= label[x];
            out += width;
        }
    }

private:
    // A pixel in the queue: its cell in the padded maps, and in the upper half its label, which is written when the
    // pixel is taken. One word, so that an addition leads to the claim on a neighbour.
    using Claim = std::uint64_t;
    static Claim claim_of(std::int32_t cell, std::int32_t label) {
        return static_cast<Claim>(label) << 32 | static_cast<Claim>(cell);
    }

    // A pixel among taken ones can never label anything, so it stays out.
    void enqueue(std::int32_t begin, std::int32_t count, std::int32_t label) {
        const std::int32_t stride = states_.stride;
        const std::uint8_t* state = states_.values.data() + begin;
        std::size_t tail = count_;
        for (std::int32_t i = 0; i < count; ++i) {
            queue_[tail] = claim_of(begin + i, label);
            tail += (state[i - stride] | state[i + stride] | state[i - 1] | state[i + 1]) != kTaken;
        }
        count_ = tail;
    }

    // Makes the pixels without a label that are set in the mask claimable and no others.
    void open(const std::uint8_t* mask) {
        const std::int32_t width = states_.width;
        for (std::int32_t y = 0; y < states_.height; ++y) {
            std::uint8_t* state = states_.values.data() + states_.cell(y * width);
            for (std::int32_t x = 0; x < width; ++x) {
                const std::uint8_t unlabelled = mask[x] ? kClaimable : kFree;
                state[x] = state[x] ? unlabelled : kTaken;
            }
            mask += width;
        }
    }

    // Leaves at the front of the queue the pixels from which nothing was labelled. Those whose four neighbours are all
    // taken are left out: they can never label anything, so no label depends on them. Which neighbour is claimable
    // cannot be predicted: hence arithmetic instead of branches.
    template <typename MayJoin>
    void spread(MayJoin may_join) {
        const std::int64_t steps[4] = {-states_.stride, states_.stride, -1, 1};
        std::uint8_t* const states = states_.values.data();
        std::int32_t* const labels = labels_.values.data();
        Claim* const queue = queue_.get();
        std::size_t tail = count_;
        std::size_t carried = 0;  // at most `head`: what is carried on overwrites only what has been taken
        for (std::size_t head = 0; head < tail; ++head) {
            const Claim claim = queue[head];
            const std::uint32_t cell = static_cast<std::uint32_t>(claim);
            const std::int32_t label = static_cast<std::int32_t>(claim >> 32);
            labels[cell] = label;
            std::uint8_t* const state = states + cell;
            const std::uint8_t around = state[steps[0]] | state[steps[1]] | state[steps[2]] | state[steps[3]];
            if (around < kClaimable) {
                queue[carried] = claim;
                carried += around == kFree;
                continue;
            }
            for (const std::int64_t step : steps) {
                std::uint32_t claimed = state[step] / kClaimable;
                if constexpr (!std::is_null_pointer_v<MayJoin>) {
                    claimed = claimed && may_join(label, states_.pixel(static_cast<std::int32_t>(cell + step)));
                }
                state[step] -= claimed * kClaimable;
                queue[tail] = claim + step;
                tail += claimed;
            }
        }
        count_ = carried;
    }

    PaddedMap<std::uint8_t> states_;
    PaddedMap<std::int32_t> labels_;
    const std::unique_ptr<Claim[]> queue_;  // no pixel stands in it twice, but a write may run ahead of the count
    std::size_t count_ = 0;                 // claims at hand
};

}  // namespace kkdnet
