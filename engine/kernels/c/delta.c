/* The gated delta rule, one token after the other (Yang et al., arXiv:2412.06464).
 *
 * A state is read and written from the nearest cache, where it stays from one token to the next; the
 * chunked form reckons more, to make large products of it. */

#include "numbers.h"

/* The short convolution over some channels of a sequence: x rows `stride` apart, the kernel - 1 inputs
 * before them in previous [kernel - 1, channels], which becomes the last ones. y [tokens, channels]. */
static void convolve(const number *x, long stride, const number *weight, number *previous, long kernel,
                     long channels, long start, long end, long tokens, float *y) {
    long before = kernel - 1;
    for (long t = 0; t < tokens; t++) {
        float *to = y + t * channels;
        for (long c = start; c < end; c++) to[c] = 0;
        for (long j = 0; j < kernel; j++) { /* the oldest input first */
            long at = t + j - before;
            const number *from = at < 0 ? previous + (before + at) * channels : x + at * stride;
            for (long c = start; c < end; c++) to[c] += get(from[c]) * get(weight[c * kernel + j]);
        }
        for (long c = start; c < end; c++) to[c] = silu(to[c]);
    }
    for (long j = 0; j < before; j++) {
        long at = tokens + j - before;
        const number *from = at < 0 ? previous + (before + at) * channels : x + at * stride;
        memmove(previous + j * channels + start, from + start, (end - start) * sizeof(number));
    }
}

static void unit(const float *x, long size, float scale, float *y) {
    memcpy(y, x, size * sizeof *y); /* the order of a sum may hang on where its numbers lie */
    float by = scale / sqrtf(sum_of_squares(y, size) + 1e-6f);
    for (long i = 0; i < size; i++) y[i] *= by;
}

/* S = decay S;  u = beta (v - k^T S);  S = S + k u^T;  out = q^T S, for one head: S [keys, size]. */
static inline __attribute__((always_inline)) void
delta_rule_of_size(float *restrict state, const float *restrict q, const float *restrict k,
                   const float *restrict v, float decay, float beta, long keys, float *restrict out,
                   long size) {
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

static void delta_rule(float *state, const float *q, const float *k, const float *v, float decay,
                       float beta, long keys, long size, float *out) {
    if (size == 128)
        delta_rule_of_size(state, q, k, v, decay, beta, keys, out, 128);
    else
        delta_rule_of_size(state, q, k, v, decay, beta, keys, out, size);
}

/* What a gated delta net does between its projections: convolution, rule and gated norm, token after
 * token. qkv, z, a, b have a row for each token of each sequence, `stride` apart; conv [sequences,
 * kernel - 1, channels] and recurrent [sequences, value heads, key dim, value dim] move on in place;
 * mixed has room for [sequences, tokens, channels]; y [sequences, tokens, value heads, value dim]. */
void gated_delta(const number *qkv, const number *z, const number *a, const number *b, long stride,
                 const number *conv_weight, const float *a_log, const number *dt_bias,
                 const float *norm_weight, float eps, number *conv, float *recurrent, float *mixed,
                 number *y, long sequences, long tokens, long kernel, long key_heads, long value_heads,
                 long key_dim, long value_dim, int threads) {
    long key_size = key_heads * key_dim, channels = 2 * key_size + value_heads * value_dim;
    long piece = 256, pieces = (channels + piece - 1) / piece;
    long work = sequences * tokens * value_heads * key_dim * value_dim;
#pragma omp parallel num_threads(threads) if (work > ALONE)
    {
#pragma omp for schedule(static)
        for (long each = 0; each < sequences * pieces; each++) {
            long s = each / pieces, start = each % pieces * piece;
            long end = start + piece < channels ? start + piece : channels;
            convolve(qkv + s * tokens * stride, stride, conv_weight, conv + s * (kernel - 1) * channels,
                     kernel, channels, start, end, tokens, mixed + s * tokens * channels);
        }
#pragma omp for schedule(static)
        for (long each = 0; each < sequences * value_heads; each++) {
            long s = each / value_heads, head = each % value_heads;
            long at = head / (value_heads / key_heads) * key_dim;
            for (long row = s * tokens; row < (s + 1) * tokens; row++) {
                const float *mine = mixed + row * channels;
                float q[key_dim], k[key_dim], out[value_dim];
                unit(mine + at, key_dim, 1.0f / sqrtf((float)key_dim), q);
                unit(mine + key_size + at, key_dim, 1.0f, k);
                float wish = get(a[row * stride + head]) + get(dt_bias[head]);
                float soft = wish > 20.0f ? wish : log1pf(expf(wish)); /* softplus */
                float decay = expf(-expf(a_log[head]) * soft);
                float beta = 1.0f / (1.0f + expf(-get(b[row * stride + head])));
                delta_rule(recurrent + each * key_dim * value_dim, q, k,
                           mine + 2 * key_size + head * value_dim, decay, beta, key_dim, value_dim, out);
                float scale = 1.0f / sqrtf(sum_of_squares(out, value_dim) / (float)value_dim + eps);
                const number *gate = z + row * stride + head * value_dim;
                number *to = y + (row * value_heads + head) * value_dim;
                for (long i = 0; i < value_dim; i++)
                    to[i] = put(norm_weight[i] * (out[i] * scale) * silu(get(gate[i])));
            }
        }
    }
}
