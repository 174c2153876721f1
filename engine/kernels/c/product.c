/* Products of a few or many rows with a weight that lies in panels. */

#include "panels.h"

/* Rows of a panel, and columns that lie together; both 0 where there are none. */
void panel_shape(long *panel, long *step) {
#ifdef PANELS
    *panel = PANEL, *step = STEP;
#else
    *panel = *step = 0;
#endif
}

#ifdef PANELS
/* Fewer multiplications than this are done before another thread has woken. */
#define FEW 400000
/* Rows of x that a thread takes at a time, so that few panels make work for many threads. */
#define GROUP_ROWS (8 * MOST_ROWS)

/* x [rows, in] times the transposed weight [out, in] of these panels, plus bias unless it is null. */
void product(const number *x, const number *panels, const number *bias, number *y, long rows, long in,
             long out, int threads) {
    long num_panels = (out + PANEL - 1) / PANEL, groups = (rows + GROUP_ROWS - 1) / GROUP_ROWS;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (rows * in * out > FEW)
    for (long each = 0; each < num_panels * groups; each++) {
        long panel = each / groups, first = each % groups * GROUP_ROWS, column = panel * PANEL;
        long count = rows - first < GROUP_ROWS ? rows - first : GROUP_ROWS;
        long blocks = (count + MOST_ROWS - 1) / MOST_ROWS;
        long columns = out - column < PANEL ? out - column : PANEL;
        for (long b = 0; b < blocks; b++) { /* of nearly the same size */
            long start = first + count * b / blocks, end = first + count * (b + 1) / blocks;
            float sums[MOST_ROWS][PANEL];
            for (long r = 0; r < end - start; r++) {
                for (int i = 0; i < PANEL; i++) sums[r][i] = 0;
                if (bias)
                    for (long i = 0; i < columns; i++) sums[r][i] = get(bias[column + i]);
            }
            add_products(x + start * in, in, panels + column * in, in, sums, end - start);
            for (long r = 0; r < end - start; r++)
                for (long i = 0; i < columns; i++) y[(start + r) * out + column + i] = put(sums[r][i]);
        }
    }
}

/* A weight [out, in] into panels; rows that fill the last one up are zero. A tile at a time, each of
 * whose rows is one line of a cache. */
#define TILE (64 / (long)sizeof(number))

void pack(const number *weight, long out, long in, number *panels, int threads) {
    long num_panels = (out + PANEL - 1) / PANEL;
#pragma omp parallel for schedule(dynamic) num_threads(threads) if (out * in > FEW)
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
