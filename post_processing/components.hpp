// 4-connected components of a binary map, shared by the post-processing extensions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace kkdnet {

// A maximal horizontal stretch of set pixels [begin, end) as flat indices y * width + x.
struct Run {
    std::int32_t begin;
    std::int32_t end;
    std::int32_t component;  // from 1
};

// Runs stand in row-major order. Components are numbered from 1 by their first pixel in row-major order.
struct Components {
    std::vector<Run> runs;
    std::vector<std::int64_t> area;  // area[number] in pixels; area[0] is unused
};

// Root of run i; halves the path on the way, which keeps the trees flat.
inline std::int32_t find_root(std::vector<std::int32_t>& parent, std::int32_t i) {
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

// The smaller index wins, so that a root is the run that holds the component's first pixel.
inline void join(std::vector<std::int32_t>& parent, std::int32_t a, std::int32_t b) {
    a = find_root(parent, a);
    b = find_root(parent, b);
    if (a < b) {
        parent[b] = a;
    } else {
        parent[a] = b;
    }
}

// The first set pixel of a row of bytes from x on, or `width`. Most of a map is empty: eight bytes at a time.
inline std::int32_t next_set(const std::uint8_t* row, std::int32_t x, std::int32_t width) {
    for (; x + 8 <= width; x += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, row + x, 8);
        if (eight) break;
    }
    while (x < width && !row[x]) ++x;
    return x;
}

// mask: height x width bytes, row-major, non-zero = set; height * width < 2^31.
inline Components find_components(const std::uint8_t* mask, std::int32_t height, std::int32_t width) {
    Components found;
    std::vector<Run>& runs = found.runs;
    std::vector<std::int32_t> parent;
    std::size_t above = 0;      // first run of the previous row that may still touch
    std::size_t row_start = 0;  // first run of this row
    for (std::int32_t y = 0; y < height; ++y) {
        const std::int32_t row = y * width;
        const std::size_t above_end = runs.size();
        above = row_start;
        row_start = above_end;
        std::int32_t x = 0;
        while (true) {
            x = next_set(mask + row, x, width);
            if (x == width) break;
            const std::int32_t begin = row + x;
            while (x < width && mask[row + x]) ++x;
            const std::int32_t end = row + x;
            const std::int32_t index = static_cast<std::int32_t>(runs.size());
            runs.push_back({begin, end, 0});
            parent.push_back(index);
            while (above < above_end && runs[above].end + width <= begin) ++above;
            for (std::size_t i = above; i < above_end && runs[i].begin + width < end; ++i) {
                join(parent, static_cast<std::int32_t>(i), index);
            }
        }
    }
    found.area.assign(1, 0);
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const std::int32_t root = find_root(parent, static_cast<std::int32_t>(i));
        if (root == static_cast<std::int32_t>(i)) {
            runs[i].component = static_cast<std::int32_t>(found.area.size());
            found.area.push_back(0);
        } else {
            runs[i].component = runs[root].component;
        }
        found.area[runs[i].component] += runs[i].end - runs[i].begin;
    }
    return found;
}

}  // namespace kkdnet
