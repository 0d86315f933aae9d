// 4-connected components of a binary map, shared by the post-processing extensions.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#ifdef _MSC_VER
#include <intrin.h>
#elif __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines"
#endif

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

// Bit i: whether row[i] is set; count <= 64. Without branches, since where text starts and ends cannot be predicted.
inline std::uint64_t pack(const std::uint8_t* row, std::int32_t count) {
    std::uint64_t bits = 0;
    std::int32_t i = 0;
    for (; i + 8 <= count; i += 8) {
        std::uint64_t eight;  // row[i] in the lowest byte
        std::memcpy(&eight, row + i, 8);
        eight |= eight >> 4;
        eight |= eight >> 2;
        eight |= eight >> 1;  // the lowest bit of a byte is now the `or` of its bits
        bits |= ((eight & 0x0101010101010101) * 0x0102040810204080) >> 56 << i;
    }
    for (; i < count; ++i) bits |= static_cast<std::uint64_t>(row[i] != 0) << i;
    return bits;
}

// Position of the lowest bit that is set; `bits` is not zero.
inline std::int32_t lowest_bit(std::uint64_t bits) {
#ifdef _MSC_VER
    unsigned long position;
    _BitScanForward64(&position, bits);
    return static_cast<std::int32_t>(position);
#else
    return __builtin_ctzll(bits);
#endif
}

// Calls found(begin, end) for each maximal stretch of set bytes of a row, from left to right.
template <typename Found>
void for_each_run(const std::uint8_t* row, std::int32_t width, Found found) {
    std::uint64_t before = 0;  // whether the byte before these 64 is set
    bool inside = false;
    std::int32_t begin = 0;
    for (std::int32_t x = 0; x < width; x += 64) {
        const std::uint64_t bits = pack(row + x, std::min(64, width - x));
        std::uint64_t changes = bits ^ (bits << 1 | before);
        before = bits >> 63;
        for (; changes; changes &= changes - 1) {
            const std::int32_t at = x + lowest_bit(changes);
            if (inside) {
                found(begin, at);
            } else {
                begin = at;
            }
            inside = !inside;
        }
    }
    if (inside) found(begin, width);
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
        for_each_run(mask + row, width, [&](std::int32_t from, std::int32_t to) {
            const std::int32_t begin = row + from, end = row + to;
            const std::int32_t index = static_cast<std::int32_t>(runs.size());
            runs.push_back({begin, end, 0});
            parent.push_back(index);
            while (above < above_end && runs[above].end + width <= begin) ++above;
            for (std::size_t i = above; i < above_end && runs[i].begin + width < end; ++i) {
                join(parent, static_cast<std::int32_t>(i), index);
            }
        });
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
