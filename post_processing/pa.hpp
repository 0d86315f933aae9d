// Pixel aggregation: grows text kernels into text instances (PAN, Wang et al., ICCV 2019, section 3.4).
// reference.py states the same definition in plain Python; the two agree label for label.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "components.hpp"
#include "growth.hpp"

namespace kkdnet {

constexpr std::int64_t kMaxAreaRatio = 1024;
constexpr double kMaxSquaredDistance = 9.0;  // an L2 distance of 3
constexpr std::int32_t kOpen = -1;           // a text pixel that nobody has claimed yet

using PaddedLabels = PaddedMap<std::int32_t>;
using Embedding = std::array<double, 4>;

// Which seeds compete with one of a very different size inside one text component, and their mean embeddings.
struct Flags {
    std::vector<std::uint8_t> flagged;  // by seed number; empty when no seed is flagged
    std::vector<Embedding> mean;
};

// The text component of each kept seed: that of its first pixel inside the text, 0 when it has none.
inline std::vector<std::int32_t> text_of_seeds(const Components& seeds, const std::vector<std::uint8_t>& kept,
                                               const Components& text) {
    std::vector<std::int32_t> home(seeds.area.size(), 0);
    std::size_t t = 0;
    for (const Run& run : seeds.runs) {
        while (t < text.runs.size() && text.runs[t].end <= run.begin) ++t;
        const bool touches = t < text.runs.size() && text.runs[t].begin < run.end;
        if (touches && kept[run.component] && !home[run.component]) {
            home[run.component] = text.runs[t].component;
        }
    }
    return home;
}

// Mean over all pixels of each flagged seed, summed in row-major order in double precision.
inline void fill_means(const Components& seeds, const float* emb, std::size_t plane, Flags& flags) {
    flags.mean.assign(seeds.area.size(), Embedding{});
    for (const Run& run : seeds.runs) {
        if (!flags.flagged[run.component]) continue;
        Embedding& sum = flags.mean[run.component];
        for (std::int32_t p = run.begin; p < run.end; ++p) {
            for (std::size_t c = 0; c < 4; ++c) sum[c] += emb[c * plane + p];
        }
    }
    for (std::size_t seed = 1; seed < seeds.area.size(); ++seed) {
        if (!flags.flagged[seed]) continue;
        for (double& value : flags.mean[seed]) value /= static_cast<double>(seeds.area[seed]);
    }
}

// A seed is flagged when some other one in its text component is more than 1024 times larger or smaller,
// which the largest and the smallest seed of that component decide.
inline Flags flag_seeds(const Components& seeds, const std::vector<std::uint8_t>& kept,
                        const std::uint8_t* text_mask, std::int32_t height, std::int32_t width,
                        const float* emb) {
    Flags flags;
    std::int64_t smallest = INT64_MAX, largest = 0;
    for (std::size_t seed = 1; seed < seeds.area.size(); ++seed) {
        if (!kept[seed]) continue;
        smallest = std::min(smallest, seeds.area[seed]);
        largest = std::max(largest, seeds.area[seed]);
    }
    if (largest == 0 || largest <= kMaxAreaRatio * smallest) return flags;  // nearly always

    const Components text = find_components(text_mask, height, width);
    const std::vector<std::int32_t> home = text_of_seeds(seeds, kept, text);
    std::vector<std::int64_t> low(text.area.size(), INT64_MAX), high(text.area.size(), 0);
    for (std::size_t seed = 1; seed < home.size(); ++seed) {
        if (!home[seed]) continue;
        low[home[seed]] = std::min(low[home[seed]], seeds.area[seed]);
        high[home[seed]] = std::max(high[home[seed]], seeds.area[seed]);
    }
    std::vector<std::uint8_t> flagged(home.size(), 0);
    bool any = false;
    for (std::size_t seed = 1; seed < home.size(); ++seed) {
        if (!home[seed]) continue;
        const std::int64_t area = seeds.area[seed];
        flagged[seed] = high[home[seed]] > kMaxAreaRatio * area || area > kMaxAreaRatio * low[home[seed]];
        any = any || flagged[seed];
    }
    if (any) {
        flags.flagged = std::move(flagged);
        fill_means(seeds, emb, static_cast<std::size_t>(height) * width, flags);
    }
    return flags;
}

// True when the embedding at pixel p lies within 3 of the mean; a comparison with NaN is false.
inline bool is_near(const Embedding& mean, const float* emb, std::size_t plane, std::size_t p) {
    double squared = 0.0;
    for (std::size_t c = 0; c < 4; ++c) {
        const double difference = static_cast<double>(emb[c * plane + p]) - mean[c];
        squared += difference * difference;
    }
    return squared <= kMaxSquaredDistance;
}

// Writes the seeds' numbers over the text, puts seed pixels in `queue` in row-major order and returns their
// number. A pixel without an open neighbour can never pass its label on, so it does not enter the queue.
inline std::size_t place_seeds(const Components& seeds, const std::vector<std::uint8_t>& kept,
                               PaddedLabels& labels, std::int32_t* queue) {
    std::int32_t* value = labels.values.data();
    for (const Run& run : seeds.runs) {
        if (!kept[run.component]) continue;
        std::fill_n(value + labels.cell(run.begin), run.end - run.begin, run.component);
    }
    std::size_t tail = 0;
    for (const Run& run : seeds.runs) {
        if (!kept[run.component]) continue;
        const std::int32_t begin = labels.cell(run.begin), end = begin + run.end - run.begin;
        for (std::int32_t p = begin; p < end; ++p) {
            const bool edge = value[p - labels.stride] == kOpen || value[p + labels.stride] == kOpen ||
                              value[p - 1] == kOpen || value[p + 1] == kOpen;
            queue[tail] = p;
            tail += edge;
        }
    }
    return tail;
}

// Breadth-first growth; `may_join(label, p)` decides whether an open pixel accepts that label.
template <typename MayJoin>
void grow(PaddedLabels& labels, std::int32_t* queue, std::size_t tail, MayJoin may_join) {
    std::int32_t* value = labels.values.data();
    const std::int32_t steps[4] = {-labels.stride, labels.stride, -1, 1};
    for (std::size_t head = 0; head < tail; ++head) {
        const std::int32_t p = queue[head];
        const std::int32_t label = value[p];
        for (const std::int32_t step : steps) {
            const std::int32_t q = p + step;
            if (value[q] != kOpen || !may_join(label, q)) continue;
            value[q] = label;
            queue[tail++] = q;
        }
    }
}

// text, kernel: height x width, non-zero = set; emb: 4 x height x width; out: height x width; all row-major.
inline void aggregate_pixels(const std::uint8_t* text, const std::uint8_t* kernel, const float* emb,
                             std::int32_t height, std::int32_t width, double min_area, std::int32_t* out) {
    const Components seeds = find_components(kernel, height, width);
    const std::vector<std::uint8_t> kept = large_seeds(seeds, min_area);
    const Flags flags = flag_seeds(seeds, kept, text, height, width, emb);

    PaddedLabels labels(height, width);
    for (std::int32_t y = 0; y < height; ++y) {
        std::int32_t* row = labels.values.data() + labels.row(y);
        const std::uint8_t* source = text + static_cast<std::size_t>(y) * width;
        for (std::int32_t x = 0; x < width; ++x) row[x] = source[x] ? kOpen : 0;
    }
    const std::size_t plane = static_cast<std::size_t>(height) * width;
    const std::unique_ptr<std::int32_t[]> queue(new std::int32_t[plane + 1]);  // a pixel enters at most once
    const std::size_t tail = place_seeds(seeds, kept, labels, queue.get());
    if (flags.flagged.empty()) {
        grow(labels, queue.get(), tail, [](std::int32_t, std::int32_t) { return true; });
    } else {
        grow(labels, queue.get(), tail, [&](std::int32_t label, std::int32_t q) {
            if (!flags.flagged[label]) return true;
            const std::int32_t y = q / labels.stride - 1, x = q % labels.stride;
            return is_near(flags.mean[label], emb, plane, static_cast<std::size_t>(y) * width + x);
        });
    }
    for (std::int32_t y = 0; y < height; ++y) {
        const std::int32_t* row = labels.values.data() + labels.row(y);
        std::int32_t* target = out + static_cast<std::size_t>(y) * width;
        for (std::int32_t x = 0; x < width; ++x) target[x] = std::max(row[x], 0);
    }
}

}  // namespace kkdnet
