/* What a model computes between its large products, each in one pass over the numbers. */

#include "numbers.h"

/* y = x / rms(x) * (offset + weight). */
static inline void norm_row(const number *x, const number *weight, float offset, float eps, long size,
                            float *y) {
    for (long i = 0; i < size; i++) y[i] = get(x[i]);
    float scale = 1.0f / sqrtf(sum_of_squares(y, size) / (float)size + eps);
    for (long i = 0; i < size; i++) y[i] = y[i] * scale * (offset + get(weight[i]));
}

/* x [rows, size] to y, rows x_stride apart in x and next to each other in y. */
void rms_norm(const number *x, long x_stride, const number *weight, float offset, float eps, long rows,
              long size, number *y, int threads) {
#pragma omp parallel for num_threads(threads) if (rows * size > ALONE)
    for (long row = 0; row < rows; row++) {
        float normed[size];
        norm_row(x + row * x_stride, weight, offset, eps, size, normed);
        for (long i = 0; i < size; i++) y[row * size + i] = put(normed[i]);
    }
}

/* y = silu(gate) * up, [rows, size]. */
void silu_times(const number *gate, long gate_stride, const number *up, long up_stride, long rows,
                long size, number *y, int threads) {
#pragma omp parallel for num_threads(threads) if (rows * size > ALONE)
    for (long row = 0; row < rows; row++) {
        const number *g = gate + row * gate_stride, *u = up + row * up_stride;
        for (long i = 0; i < size; i++) y[row * size + i] = put(silu(get(g[i])) * get(u[i]));
    }
}

/* Each head of x [rows, heads, size] normed (unless weight is null), and its first `rotary` numbers
 * turned: number i with number i + rotary / 2, by cos and sin [rows, rotary]. */
void norm_rotate(const number *x, long row_stride, long head_stride, const number *weight, float offset,
                 float eps, const number *cosines, const number *sines, long rotary, long rows,
                 long heads, long size, number *y, int threads) {
    long half = rotary / 2;
#pragma omp parallel for num_threads(threads) if (rows * heads * size > ALONE)
    for (long each = 0; each < rows * heads; each++) {
        long row = each / heads, head = each % heads;
        const number *from = x + row * row_stride + head * head_stride;
        const number *cosine = cosines + row * rotary, *sine = sines + row * rotary;
        number *to = y + each * size;
        float h[size];
        if (weight)
            norm_row(from, weight, offset, eps, size, h);
        else
            for (long i = 0; i < size; i++) h[i] = get(from[i]);
        for (long i = 0; i < half; i++) {
            to[i] = put(h[i] * get(cosine[i]) - h[half + i] * get(sine[i]));
            to[half + i] = put(h[half + i] * get(cosine[half + i]) + h[i] * get(sine[half + i]));
        }
        for (long i = rotary; i < size; i++) to[i] = put(h[i]);
    }
}
