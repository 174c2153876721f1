#pragma once
/* The innermost product, of a few rows with a panel of a weight.
 *
 * A panel is PANEL rows of a weight: for each STEP of their columns, those of all its rows next to each
 * other. So a weight is read once, from its first byte to its last, and no sum has to be taken across
 * a register; blocks of rows are as large as the registers allow (after Goto and van de Geijn,
 * "Anatomy of High-Performance Matrix Multiplication", 2008). PANELS is not defined where this
 * processor multiplies these numbers no faster than any other way. */

#include "numbers.h"

/* AMX multiplies blocks of bfloat16 faster than this could: there torch's products stay. */
#if defined(BFLOAT16) && defined(__AVX512BF16__) && !defined(__AMX_BF16__)
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

#ifdef PANELS
typedef float lanes __attribute__((vector_size(4 * LANES)));
/* Rows of x whose sums fit into the registers, 32 or AVX2's 16, beside a weight's and a number of x. */
#define WIDE (LANES == 8 ? 2 : 4)
#define MOST_ROWS 6
#define PANEL (WIDE * LANES)

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

/* Adds to sums [rows, PANEL] the product of x with a panel's transposed rows, `in` columns of both;
 * rows of x `stride` apart. */
static inline __attribute__((always_inline)) void
add_products_of(const number *restrict x, long stride, const number *restrict panel, long in,
                float (*restrict sums)[PANEL], int rows) {
    lanes each[rows][WIDE];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < WIDE; j++) memcpy(&each[r][j], &sums[r][j * LANES], sizeof(lanes));
    for (long k = 0; k < in; k += STEP, panel += PANEL * STEP)
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
            for (int j = 0; j < WIDE; j++)
                each[r][j] = multiply_add(each[r][j], panel + j * LANES * STEP, x + r * stride + k);
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
        for (int j = 0; j < WIDE; j++) memcpy(&sums[r][j * LANES], &each[r][j], sizeof(lanes));
}

/* The same for at most MOST_ROWS. A row has the same bits whatever their number. */
static inline void add_products(const number *x, long stride, const number *panel, long in,
                                float (*sums)[PANEL], long rows) {
    switch (rows) {
    case 1: add_products_of(x, stride, panel, in, sums, 1); break;
    case 2: add_products_of(x, stride, panel, in, sums, 2); break;
    case 3: add_products_of(x, stride, panel, in, sums, 3); break;
    case 4: add_products_of(x, stride, panel, in, sums, 4); break;
    case 5: add_products_of(x, stride, panel, in, sums, 5); break;
    case 6: add_products_of(x, stride, panel, in, sums, 6); break;
    }
}
#endif
