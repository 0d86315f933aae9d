// Pixel aggregation: grows text kernels into text instances (PAN, Wang et al., ICCV 2019, section 3.4).
// reference.py states the same definition in plain Python; the two agree label for label.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "components.hpp"
#include "growth.hpp"

namespace kkdnet {

constexpr std::int64_t kMaxAreaRatio = 1024;
constexpr double kMaxSquaredDistance = 9.0;  // an L2 distance of 3

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

// Instead of the number of a seed.
constexpr std::int32_t kNobody = 0;
constexpr std::int32_t kSeveral = -1;

// By component of text and kept seeds together, a region: the kept seed in it, or one of the above.
inline std::vector<std::int32_t> owners(const Components& seeds, const std::vector<std::uint8_t>& kept,
                                        const Components& regions) {
    std::vector<std::int32_t> owner(regions.area.size(), kNobody);
    std::size_t r = 0;
    for (const Run& run : seeds.runs) {
        if (!kept[run.component]) continue;
        while (regions.runs[r].end <= run.begin) ++r;
        std::int32_t& known = owner[regions.runs[r].component];
        known = known == kNobody || known == run.component ? run.component : kSeveral;
    }
    return owner;
}

// A region with a single seed is the seed's as a whole: every text pixel of it is within reach, and nobody is there to
// come first. Labels these regions, and returns which seeds have rivals, by number as `kept` does.
inline std::vector<std::uint8_t> settle(const Components& seeds, std::vector<std::uint8_t> kept,
                                        const std::uint8_t* text, std::int32_t height, std::int32_t width,
                                        std::int32_t* out) {
    std::vector<std::uint8_t> reach(text, text + static_cast<std::size_t>(height) * width);
    for (const Run& run : seeds.runs) {
        if (kept[run.component]) std::fill_n(reach.data() + run.begin, run.end - run.begin, 1);
    }
    const Components regions = find_components(reach.data(), height, width);
    const std::vector<std::int32_t> owner = owners(seeds, kept, regions);
    for (const Run& run : regions.runs) {
        const std::int32_t seed = owner[run.component];
        if (seed == kNobody || seed == kSeveral) continue;
        std::fill_n(out + run.begin, run.end - run.begin, seed);
        kept[seed] = 0;
    }
    return kept;
}

// text, kernel: height x width, non-zero = set; emb: 4 x height x width; out: height x width, zeros; all row-major.
inline void aggregate_pixels(const std::uint8_t* text, const std::uint8_t* kernel, const float* emb,
                             std::int32_t height, std::int32_t width, double min_area, std::int32_t* out) {
    const Components seeds = find_components(kernel, height, width);
    const std::vector<std::uint8_t> rivals = settle(seeds, large_seeds(seeds, min_area), text, height, width, out);
    if (std::find(rivals.begin(), rivals.end(), 1) == rivals.end()) return;

    const Flags flags = flag_seeds(seeds, rivals, text, height, width, emb);
    Growth growth(seeds, rivals, height, width);
    if (flags.flagged.empty()) {
        growth.through(text);
    } else {
        const std::size_t plane = static_cast<std::size_t>(height) * width;
        growth.through(text, [&](std::int32_t label, std::int32_t pixel) {
            return !flags.flagged[label] || is_near(flags.mean[label], emb, plane, static_cast<std::size_t>(pixel));
        });
    }
    growth.merge_into(out);
}

}  // namespace kkdnet
