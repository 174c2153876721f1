/* What a model computes between its large products, each in one pass over the numbers. */

#include "numbers.h"

/* Less work than this many numbers is done before another thread has woken. */
#define ALONE 32768
/* The tokens of an answer are attended to in parts of so many, whoever else there is. */
#define PART_TOKENS 64

static inline float sum_of_squares(const float *x, long size) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (long i = 0; i < size; i++) sum += x[i] * x[i];
    return sum;
}

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

/* The keys and values of one layer, [rows of all pages, kv heads, size], and whose they are:
 * sequence s has lengths[s] tokens, its pages are at pages + s * max_pages. */
typedef struct {
    number *keys, *values;
    const int64_t *pages, *lengths;
    long max_pages, page_tokens, kv_heads, size;
} remembered;

static inline long row_of(const remembered *m, long sequence, long token) {
    return m->pages[sequence * m->max_pages + token / m->page_tokens] * m->page_tokens +
           token % m->page_tokens;
}

/* What the queries q [heads, size] make of the tokens from `start` to `end`, for each head: the sum
 * of values weighted by exp(score - best), the sum of the weights, and best: sums [heads, size + 2].
 * Tokens are the outer loops: all heads of a token lie together. */
static inline __attribute__((always_inline)) void
attend_part_of_size(const remembered *m, long sequence, long start, long end, const float *restrict q,
                    long group, float *restrict sums, long size) {
    long heads = group * m->kv_heads, width = size + 2, count = end - start;
    float weights[heads][PART_TOKENS], row[size];
    for (long t = 0; t < count; t++) {
        const number *key = m->keys + row_of(m, sequence, start + t) * m->kv_heads * size;
        for (long head = 0; head < heads; head++) {
            if (head % group == 0)
                for (long i = 0; i < size; i++) row[i] = get(key[head / group * size + i]);
            float score = 0;
#pragma omp simd reduction(+ : score)
            for (long i = 0; i < size; i++) score += q[head * size + i] * row[i];
            weights[head][t] = score;
        }
    }
    for (long head = 0; head < heads; head++) {
        float best = weights[head][0], total = 0;
        for (long t = 1; t < count; t++) best = weights[head][t] > best ? weights[head][t] : best;
#pragma omp simd reduction(+ : total)
        for (long t = 0; t < count; t++) {
            weights[head][t] = exponential(weights[head][t] - best);
            total += weights[head][t];
        }
        float *sum = sums + head * width;
        for (long i = 0; i < size; i++) sum[i] = 0;
        sum[size] = total;
        sum[size + 1] = best;
    }
    for (long t = 0; t < count; t++) {
        const number *value = m->values + row_of(m, sequence, start + t) * m->kv_heads * size;
        for (long head = 0; head < heads; head++) {
            if (head % group == 0)
                for (long i = 0; i < size; i++) row[i] = get(value[head / group * size + i]);
            float weight = weights[head][t], *sum = sums + head * width;
            for (long i = 0; i < size; i++) sum[i] += weight * row[i];
        }
    }
}

/* The usual sizes by name: known beforehand, a row stays in registers. */
static void attend_part(const remembered *m, long sequence, long start, long end, const float *q,
                        long group, float *sums) {
    switch (m->size) {
    case 64: attend_part_of_size(m, sequence, start, end, q, group, sums, 64); break;
    case 128: attend_part_of_size(m, sequence, start, end, q, group, sums, 128); break;
    case 256: attend_part_of_size(m, sequence, start, end, q, group, sums, 256); break;
    default: attend_part_of_size(m, sequence, start, end, q, group, sums, m->size);
    }
}

/* One head's parts, the same numbers for every head `apart`, joined by the weight of their scores. */
static void join_parts(const float *sums, long parts, long apart, long size, number *y) {
    float best = -INFINITY, total = 0, out[size];
    for (long p = 0; p < parts; p++) {
        float each = sums[p * apart + size + 1];
        best = each > best ? each : best;
    }
    for (long i = 0; i < size; i++) out[i] = 0;
    for (long p = 0; p < parts; p++) {
        const float *sum = sums + p * apart;
        float weight = exponential(sum[size + 1] - best);
        total += weight * sum[size];
        for (long i = 0; i < size; i++) out[i] += weight * sum[i];
    }
    for (long i = 0; i < size; i++) y[i] = put(out[i] / total);
}

/* The newest token of each sequence: its key and value [sequences, kv heads, size] are remembered,
 * and its queries q [sequences, heads, size] see all tokens, itself the last. y is like q;
 * sums has room for [sequences, most parts, heads, size + 2]. */
void attend(const number *q, const number *k, const number *v, number *keys, number *values,
            const int64_t *pages, const int64_t *lengths, long sequences, long max_pages,
            long page_tokens, long heads, long kv_heads, long size, long most_parts, float scale,
            float *sums, number *y, int threads) {
    remembered m = {keys, values, pages, lengths, max_pages, page_tokens, kv_heads, size};
    long apart = heads * (size + 2), work = 0;
    for (long s = 0; s < sequences; s++) {
        long at = row_of(&m, s, lengths[s] - 1) * kv_heads * size;
        memcpy(keys + at, k + s * kv_heads * size, kv_heads * size * sizeof(number));
        memcpy(values + at, v + s * kv_heads * size, kv_heads * size * sizeof(number));
        work += lengths[s] * heads * size;
    }
#pragma omp parallel num_threads(threads) if (work > ALONE)
    {
#pragma omp for schedule(dynamic)
        for (long each = 0; each < sequences * most_parts; each++) {
            long s = each / most_parts, start = each % most_parts * PART_TOKENS;
            long end = start + PART_TOKENS < lengths[s] ? start + PART_TOKENS : lengths[s];
            if (start >= end) continue;
            float scaled[heads * size];
            for (long i = 0; i < heads * size; i++) scaled[i] = get(q[s * heads * size + i]) * scale;
            attend_part(&m, s, start, end, scaled, heads / kv_heads, sums + each * apart);
        }
#pragma omp for schedule(static)
        for (long each = 0; each < sequences * heads; each++) {
            long s = each / heads, head = each % heads;
            long parts = (lengths[s] + PART_TOKENS - 1) / PART_TOKENS;
            const float *first = sums + s * most_parts * apart + head * (size + 2);
            join_parts(first, parts, apart, size, y + each * size);
        }
    }
}

/* The short convolution of one token: inputs x of all channels, the kernel - 1 inputs before it
 * [kernel - 1, channels], which move on by one; channels from `start` to `end` of y. */
static void convolve(const number *x, const number *weight, number *previous, long kernel,
                     long channels, long start, long end, float *y) {
    for (long c = start; c < end; c++) y[c] = get(x[c]) * get(weight[c * kernel + kernel - 1]);
    for (long j = 0; j < kernel - 1; j++)
        for (long c = start; c < end; c++)
            y[c] += get(previous[j * channels + c]) * get(weight[c * kernel + j]);
    for (long j = 0; j < kernel - 1; j++) {
        const number *next = j + 1 < kernel - 1 ? previous + (j + 1) * channels : x;
        memcpy(previous + j * channels + start, next + start, (end - start) * sizeof(number));
    }
    for (long c = start; c < end; c++) y[c] = silu(y[c]);
}

static void unit(const float *x, long size, float scale, float *y) {
    float by = scale / sqrtf(sum_of_squares(x, size) + 1e-6f);
    for (long i = 0; i < size; i++) y[i] = x[i] * by;
}

/* S = decay S;  u = beta (v - k^T S);  S = S + k u^T;  out = q^T S, for one head: S [keys, size]. */
static void delta_rule(float *state, const float *q, const float *k, const float *v, float decay,
                       float beta, long keys, long size, float *out) {
    float u[size];
    for (long i = 0; i < size; i++) u[i] = out[i] = 0;
    for (long j = 0; j < keys; j++)
        for (long i = 0; i < size; i++) u[i] += k[j] * state[j * size + i];
    for (long i = 0; i < size; i++) u[i] = beta * (v[i] - decay * u[i]);
    for (long j = 0; j < keys; j++) {
        float *row = state + j * size;
        for (long i = 0; i < size; i++) {
            row[i] = decay * row[i] + k[j] * u[i];
            out[i] += q[j] * row[i];
        }
    }
}

/* One token of a gated delta net between its projections, for each sequence: convolution, rule and
 * gated norm. qkv, z, a, b are rows `stride` apart; conv [sequences, kernel - 1, channels] and
 * recurrent [sequences, value heads, key dim, value dim] move on in place; mixed has room for
 * [sequences, channels]; y [sequences, value heads, value dim]. */
void gated_delta_step(const number *qkv, const number *z, const number *a, const number *b, long stride,
                      const number *conv_weight, const float *a_log, const number *dt_bias,
                      const float *norm_weight, float eps, number *conv, float *recurrent, float *mixed,
                      number *y, long sequences, long kernel, long key_heads, long value_heads,
                      long key_dim, long value_dim, int threads) {
    long key_size = key_heads * key_dim, channels = 2 * key_size + value_heads * value_dim;
    long pieces = (channels + 1023) / 1024;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (long each = 0; each < sequences * pieces; each++) {
            long s = each / pieces, start = each % pieces * 1024;
            long end = start + 1024 < channels ? start + 1024 : channels;
            convolve(qkv + s * stride, conv_weight, conv + s * (kernel - 1) * channels, kernel, channels,
                     start, end, mixed + s * channels);
        }
#pragma omp for schedule(static)
        for (long each = 0; each < sequences * value_heads; each++) {
            long s = each / value_heads, head = each % value_heads;
            const float *mine = mixed + s * channels;
            long at = head / (value_heads / key_heads) * key_dim;
            float q[key_dim], k[key_dim], out[value_dim];
            unit(mine + at, key_dim, 1.0f / sqrtf((float)key_dim), q);
            unit(mine + key_size + at, key_dim, 1.0f, k);
            float wish = get(a[s * stride + head]) + get(dt_bias[head]);
            float soft = wish > 20.0f ? wish : log1pf(expf(wish)); /* softplus */
            float decay = expf(-expf(a_log[head]) * soft);
            float beta = 1.0f / (1.0f + expf(-get(b[s * stride + head])));
            delta_rule(recurrent + each * key_dim * value_dim, q, k,
                       mine + 2 * key_size + head * value_dim, decay, beta, key_dim, value_dim, out);
            float scale = 1.0f / sqrtf(sum_of_squares(out, value_dim) / (float)value_dim + eps);
            const number *gate = z + s * stride + head * value_dim;
            number *to = y + each * value_dim;
            for (long i = 0; i < value_dim; i++)
                to[i] = put(norm_weight[i] * (out[i] * scale) * silu(get(gate[i])));
        }
    }
}
