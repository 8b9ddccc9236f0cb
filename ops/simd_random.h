/*
 * Philox 4x32 with 10 rounds (Salmon, Moraes, Dror, Shaw 2011: Parallel random numbers: as easy as
 * 1, 2, 3). A block of four words is a function of the counter (block, stream), 64 bits each, and
 * of the key, 64 bits; nothing is carried from block to block.
 *
 * A 64-bit lane works for one block. Its lower half holds the value; the upper half may hold
 * anything, since the products read lower halves only.
 */
#ifndef WF_SIMD_RANDOM_H
#define WF_SIMD_RANDOM_H

#include "ops/simd.h"

#define PHILOX_ROUNDS 10
#define PHILOX_GROUP  (4 * WF_WIDTH) /* words from one call of v_philox */

typedef struct philox_key {
    vq a[PHILOX_ROUNDS], b[PHILOX_ROUNDS]; /* round keys, the upper halves zero */
    uint64_t stream;
} philox_key;

static inline vq v_splat_quad(uint64_t x)
{
    return x + (vq){0};
}

static inline void v_philox_key(philox_key *k, uint64_t key, uint64_t stream)
{
    uint32_t a = (uint32_t)key, b = (uint32_t)(key >> 32);
    for (int i = 0; i < PHILOX_ROUNDS; i++) {
        k->a[i] = v_splat_quad(a);
        k->b[i] = v_splat_quad(b);
        a += 0x9e3779b9u;
        b += 0xbb67ae85u;
    }
    k->stream = stream;
}

/* Two vectors of blocks, counted from block on, whose rounds run side by side. */
typedef struct philox_state {
    vq c0[2], c1[2], c2[2], c3[2];
} philox_state;

static inline void v_philox_round(philox_state *s, vq a, vq b)
{
    const vq m0 = v_splat_quad(0xd2511f53u), m1 = v_splat_quad(0xcd9e8d57u);
    for (int j = 0; j < 2; j++) {
        vq p0 = v_mul32(s->c0[j], m0), p1 = v_mul32(s->c2[j], m1);
        s->c0[j] = (p1 >> 32) ^ (s->c1[j] ^ a);
        s->c1[j] = p1;
        s->c2[j] = (p0 >> 32) ^ (s->c3[j] ^ b);
        s->c3[j] = p0;
    }
}

static inline vq v_halves(vq low, vq high)
{
    return (low & UINT32_MAX) | high << 32;
}

/* y[0 .. PHILOX_GROUP) = the words of WF_WIDTH blocks from block on. Lanes take the blocks in an
 * order that lets pairs within 128 bits come out consecutive. */
static inline void v_philox(uint32_t *y, const philox_key *k, uint64_t block)
{
    vq order;
    for (unsigned i = 0; i < WF_WIDTH / 2; i++) order[i] = i / 2 + i % 2 * (WF_WIDTH / 4);
    philox_state s;
    for (unsigned j = 0; j < 2; j++) {
        s.c0[j] = block + j * (WF_WIDTH / 2) + order;
        s.c1[j] = s.c0[j] >> 32;
        s.c2[j] = v_splat_quad(k->stream);
        s.c3[j] = s.c2[j] >> 32;
    }
    for (int i = 0; i < PHILOX_ROUNDS; i++) v_philox_round(&s, k->a[i], k->b[i]);
    for (int j = 0; j < 2; j++) {
        vf low = (vf)v_halves(s.c0[j], s.c1[j]), high = (vf)v_halves(s.c2[j], s.c3[j]);
        v_store(y + 2 * j * WF_WIDTH, v_pair_low(low, high));
        v_store(y + (2 * j + 1) * WF_WIDTH, v_pair_high(low, high));
    }
}

#endif
