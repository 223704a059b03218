// Attention within pictures: all keys and values are packed, then threads take tiles of queries, head by head, so that
// what is packed of a head stays in the cache.
#include <algorithm>
#include <vector>

#include "calls.h"

namespace qwen3vl {
namespace {

struct Unit {
    int picture, head, first, count;  // tokens
};

int length_of(const PictureAttention& call, int picture) {
    return int(call.starts[picture + 1] - call.starts[picture]);
}

size_t padded(int tokens) { return size_t(round_up(tokens, WIDE_DEPTH)); }

struct Units {
    std::vector<size_t> packed;  // tokens before each picture, in whole tiles
    std::vector<Unit> all;

    void cut(const PictureAttention& call) {
        packed.assign(1, 0), all.clear();
        for (int p = 0; p < call.pictures; ++p) {
            const int length = length_of(call, p);
            packed.push_back(packed.back() + padded(length));
            for (int h = 0; h < call.heads; ++h)
                for (int first = 0; first < length; first += QUERIES)
                    all.push_back({p, h, first, std::min(QUERIES, length - first)});
        }
    }
};

// Numbers of a token's packed key and value.
size_t packed_size(const PictureAttention& call) {
    return size_t(Picture::deep_size(call.head_size)) + Picture::padded_size(call.head_size);
}

Picture picture_of(const PictureAttention& call, const Units& units, const Unit& unit, uint16_t* room) {
    const size_t first = size_t(call.starts[unit.picture]), head = size_t(unit.head) * call.head_size;
    const size_t tokens = units.packed[unit.picture + 1] - units.packed[unit.picture];
    uint16_t* keys = room + packed_size(call) * (units.packed[unit.picture] * call.heads + tokens * unit.head);
    Picture picture;
    picture.hidden = call.heads * call.head_size;
    picture.stride = size_t(3) * picture.hidden;
    picture.qkv = call.qkv + picture.stride * first + head;
    picture.cosines = call.cosines + first * (call.head_size / 2);
    picture.sines = call.sines + first * (call.head_size / 2);
    picture.keys = keys;
    picture.values = keys + tokens * Picture::deep_size(call.head_size);
    picture.y = call.y + picture.hidden * first + head;
    picture.length = length_of(call, unit.picture);
    picture.size = call.head_size;
    return picture;
}

}  // namespace

void reserve(const Kernels&, const PictureAttention& call, Scratch& scratch) {
    size_t tokens = 0;
    for (int p = 0; p < call.pictures; ++p) tokens += padded(length_of(call, p));
    grown(scratch.packed, tokens * call.heads * packed_size(call));
}

void run(const Kernels& kernels, const PictureAttention& call, Scratch& scratch, const Team& team) {
    thread_local Units units;
    units.cut(call);  // each thread for itself, as in `experts`
    const auto each = [&](const auto& work) {
        team.share(int(units.all.size()), 1, [&](int first, int last) {
            for (int u = first; u < last; ++u)
                work(picture_of(call, units, units.all[u], scratch.packed.data()), units.all[u]);
        });
    };
    each([&](const Picture& picture, const Unit& unit) {
        kernels.pack_keys(picture, unit.first, unit.first + unit.count);
    });
    team.wait();
    each([&](const Picture& picture, const Unit& unit) {
        kernels.attend_picture(picture, call.scale, unit.first, unit.count);
    });
}

}  // namespace qwen3vl
