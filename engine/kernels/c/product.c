/* Products of a few or many rows with a weight that lies in panels.
 *
 * A panel is PANEL rows of the weight: for each STEP of their columns, those of all its rows next to
 * each other. So a weight is read once, from its first byte to its last, and no sum has to be taken
 * across a register; blocks of rows are as large as the registers allow (after Goto and van de Geijn,
 * "Anatomy of High-Performance Matrix Multiplication", 2008). */

#include "numbers.h"

#if defined(BFLOAT16) && defined(__AVX512BF16__)
#include <immintrin.h>
#define PANELS 1
#define LANES 16
#define STEP 2 /* an instruction adds two products to each lane */
#elif !defined(BFLOAT16) && (defined(__AVX512F__) || defined(__AVX2__) || defined(__ARM_NEON))
#define PANELS 1
#define STEP 1
#if defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif
#endif

/* Rows of a panel, and columns that lie together; both 0 where this processor multiplies these
 * numbers no faster than any other way. */
#ifndef PANELS
void panel_shape(long *panel, long *step) { *panel = *step = 0; }
void pack(const number *weight, long out, long in, number *panels, int threads) {
    (void)weight, (void)out, (void)in, (void)panels, (void)threads;
}
void product(const number *x, const number *panels, const number *bias, number *y, long rows, long in,
             long out, int threads) {
    (void)x, (void)panels, (void)bias, (void)y, (void)rows, (void)in, (void)out, (void)threads;
}
#else

typedef float lanes __attribute__((vector_size(4 * LANES)));
/* With 32 registers 7 rows of 4 sums, with AVX2's 16 of them 6 rows of 2; the rest holds a weight's
 * registers and a number of x. */
#if LANES == 8
#define WIDE 2
#define MOST_ROWS 6
#else
#define WIDE 4
#define MOST_ROWS 7
#endif
#define PANEL (WIDE * LANES)
/* Rows of x that a thread takes at a time, so that few panels make work for many threads. */
#define GROUP_ROWS (8 * MOST_ROWS)
/* Fewer multiplications than this are done before another thread has woken. */
#define ALONE 400000

void panel_shape(long *panel, long *step) { *panel = PANEL, *step = STEP; }

/* sums + weights * x, for LANES rows of the weight and STEP of their columns. */
static inline lanes multiply_add(lanes sums, const number *weights, const number *x) {
#ifdef BFLOAT16
    int pair;
    memcpy(&pair, x, sizeof pair);
    return (lanes)_mm512_dpbf16_ps((__m512)sums, (__m512bh)_mm512_loadu_si512(weights),
                                   (__m512bh)_mm512_set1_epi32(pair));
#else
    lanes w;
    memcpy(&w, weights, sizeof w);
    return sums + w * *x;
#endif
}

/* y = x weight^T + bias for some rows of x and the first `columns` rows of one panel. */
static inline __attribute__((always_inline)) void
block(const number *restrict x, const number *restrict panel, const number *restrict bias,
      number *restrict y, long in, long out, long columns, int rows) {
    lanes sums[rows][WIDE];
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < WIDE; j++) sums[r][j] = (lanes){0};
    for (long k = 0; k < in; k += STEP, panel += PANEL * STEP)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int j = 0; j < WIDE; j++)
                sums[r][j] = multiply_add(sums[r][j], panel + j * LANES * STEP, x + r * in + k);
    for (int r = 0; r < rows; r++) {
        float *row = (float *)sums[r];
        if (bias)
            for (long i = 0; i < columns; i++) row[i] += get(bias[i]);
        if (columns == PANEL)
            for (long i = 0; i < PANEL; i++) y[r * out + i] = put(row[i]);
        else
            for (long i = 0; i < columns; i++) y[r * out + i] = put(row[i]);
    }
}

static void block_of(const number *x, const number *panel, const number *bias, number *y, long in,
                     long out, long columns, long rows) {
    switch (rows) {
    case 1: block(x, panel, bias, y, in, out, columns, 1); break;
    case 2: block(x, panel, bias, y, in, out, columns, 2); break;
    case 3: block(x, panel, bias, y, in, out, columns, 3); break;
    case 4: block(x, panel, bias, y, in, out, columns, 4); break;
    case 5: block(x, panel, bias, y, in, out, columns, 5); break;
    case 6: block(x, panel, bias, y, in, out, columns, 6); break;
    case 7: block(x, panel, bias, y, in, out, columns, 7); break;
    }
}

/* x [rows, in] times the transposed weight [out, in] of these panels, plus bias unless it is null. */
void product(const number *x, const number *panels, const number *bias, number *y, long rows, long in,
             long out, int threads) {
    long num_panels = (out + PANEL - 1) / PANEL, groups = (rows + GROUP_ROWS - 1) / GROUP_ROWS;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (rows * in * out > ALONE)
    for (long each = 0; each < num_panels * groups; each++) {
        long panel = each / groups, first = each % groups * GROUP_ROWS, column = panel * PANEL;
        long count = rows - first < GROUP_ROWS ? rows - first : GROUP_ROWS;
        long blocks = (count + MOST_ROWS - 1) / MOST_ROWS;
        long columns = out - column < PANEL ? out - column : PANEL;
        for (long b = 0; b < blocks; b++) { /* of nearly the same size */
            long start = first + count * b / blocks, end = first + count * (b + 1) / blocks;
            block_of(x + start * in, panels + panel * PANEL * in, bias ? bias + column : 0,
                     y + start * out + column, in, out, columns, end - start);
        }
    }
}

/* A weight [out, in] into panels; rows that fill the last one up are zero. A tile at a time, each of
 * whose rows is one line of a cache. */
#define TILE (64 / (long)sizeof(number))

void pack(const number *weight, long out, long in, number *panels, int threads) {
    long num_panels = (out + PANEL - 1) / PANEL;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (out * in > ALONE)
    for (long panel = 0; panel < num_panels; panel++)
        for (long k = 0; k < in; k += TILE) {
            number tile[PANEL][TILE];
            long width = in - k < TILE ? in - k : TILE;
            for (long o = 0; o < PANEL; o++) {
                long row = panel * PANEL + o;
                if (row < out)
                    memcpy(tile[o], weight + row * in + k, width * sizeof(number));
                else
                    memset(tile[o], 0, width * sizeof(number));
            }
            number *to = panels + (panel * in + k) * PANEL;
            for (long j = 0; j < width; j += STEP)
                for (long o = 0; o < PANEL; o++, to += STEP) memcpy(to, tile[o] + j, STEP * sizeof(number));
        }
}
#endif
