/* Attention over keys and values that lie in pages: of one new token of each of many sequences, and of
 * many new tokens of one (after Dao et al., FlashAttention, arXiv:2205.14135). */

#include "panels.h"

/* The tokens before an answer's next one are attended to in parts of so many. */
#define PART_TOKENS 64

long part_tokens(void) { return PART_TOKENS; }

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
        for (long head = 0; head < heads; key += size) {
            for (long i = 0; i < size; i++) row[i] = get(key[i]);
            for (long last = head + group; head < last; head++) {
                float score = 0;
#pragma omp simd reduction(+ : score)
                for (long i = 0; i < size; i++) score += q[head * size + i] * row[i];
                weights[head][t] = score;
            }
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
        for (long head = 0; head < heads; value += size) {
            for (long i = 0; i < size; i++) row[i] = get(value[i]);
            for (long last = head + group; head < last; head++) {
                float weight = weights[head][t], *sum = sums + head * width;
                for (long i = 0; i < size; i++) sum[i] += weight * row[i];
            }
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
void attend_step(const number *q, const number *k, const number *v, number *keys, number *values,
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

#ifdef PANELS
/* The keys of one head from token `first` on as a panel, and its values as panels of a weight whose
 * rows are the dimensions: as many tokens, zeros where there are no more. */
static void pack_tokens(const remembered *m, long kv_head, long first, long tokens, number *key_panel,
                        number *value_panels) {
    long size = m->size, count = tokens - first < PANEL ? tokens - first : PANEL;
    long wide = (size + PANEL - 1) / PANEL * PANEL;
    number row[size];
    if (count < PANEL) memset(key_panel, 0, PANEL * size * sizeof(number));
    if (count < PANEL || size < wide) memset(value_panels, 0, PANEL * wide * sizeof(number));
    for (long t = 0; t < count; t++) {
        long at = (row_of(m, 0, first + t) * m->kv_heads + kv_head) * size;
        memcpy(row, m->keys + at, size * sizeof(number));
        for (long i = 0; i < size; i += STEP)
            for (long j = 0; j < STEP; j++) key_panel[(i * PANEL) + t * STEP + j] = row[i + j];
        memcpy(row, m->values + at, size * sizeof(number));
        for (long i = 0; i < size; i++) {
            number *panel = value_panels + i / PANEL * PANEL * PANEL;
            panel[t / STEP * STEP * PANEL + i % PANEL * STEP + t % STEP] = row[i];
        }
    }
}

/* One row's scores of a panel's tokens, of which it sees the first ones, to weights exp(score - best),
 * best being that of all tokens so far; what was summed up before shrinks by the factor returned. */
static inline float weigh(float *restrict scores, long seen, float scale, float *best, float *total,
                          number *restrict weights) {
    for (long i = seen < 0 ? 0 : seen; i < PANEL; i++) scores[i] = -INFINITY;
    float highest = -INFINITY, sum = 0;
#pragma omp simd reduction(max : highest)
    for (int i = 0; i < PANEL; i++) highest = scores[i] > highest ? scores[i] : highest;
    float now = highest * scale > *best ? highest * scale : *best;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < PANEL; i++) {
        float weight = exponential(scores[i] * scale - now);
        sum += weight;
        weights[i] = put(weight);
    }
    float shrink = exponential(*best - now);
    *total = *total * shrink + sum;
    *best = now;
    return shrink;
}

/* Some tokens of one head: q rows `stride` apart, the first of them token `position`. */
static void attend_block(const number *q, long stride, long position, long rows, const number *key_panels,
                         const number *value_panels, long size, float scale, number *y) {
    long spans = (size + PANEL - 1) / PANEL; /* of a head's dimensions */
    float scores[MOST_ROWS][PANEL], out[spans][MOST_ROWS][PANEL];
    float best[MOST_ROWS], total[MOST_ROWS];
    number weights[MOST_ROWS][PANEL];
    memset(out, 0, sizeof out);
    for (long r = 0; r < rows; r++) best[r] = -INFINITY, total[r] = 0;
    for (long first = 0; first < position + rows; first += PANEL) {
        for (long r = 0; r < rows; r++)
            for (int i = 0; i < PANEL; i++) scores[r][i] = 0;
        add_products(q, stride, key_panels + first * size, size, scores, rows);
        for (long r = 0; r < rows; r++) {
            float shrink = weigh(scores[r], position + r - first + 1, scale, best + r, total + r, weights[r]);
            for (long span = 0; span < spans; span++)
                for (int i = 0; i < PANEL; i++) out[span][r][i] *= shrink;
        }
        for (long span = 0; span < spans; span++)
            add_products(weights[0], PANEL, value_panels + (first * spans + span * PANEL) * PANEL,
                         PANEL, out[span], rows);
    }
    for (long r = 0; r < rows; r++)
        for (long i = 0; i < size; i += PANEL) {
            long count = size - i < PANEL ? size - i : PANEL;
            const float *sums = out[i / PANEL][r];
            for (long j = 0; j < count; j++) y[r * stride + i + j] = put(sums[j] / total[r]);
        }
}

/* The newest tokens of one sequence, whose keys and values are remembered already: q [tokens, heads,
 * size] sees itself and all before, the first of them token `start`. y is like q; panels has room for
 * the keys and values of one head: size, and size filled up to whole panels, for each of the tokens
 * filled up to whole panels. A token has the same bits however many are taken at a time. */
void attend_chunk(const number *q, const number *keys, const number *values, const int64_t *pages,
                  long page_tokens, long start, long tokens, long heads, long kv_heads, long size,
                  float scale, number *panels, number *y, int threads) {
    remembered m = {(number *)keys, (number *)values, pages, 0, 0, page_tokens, kv_heads, size};
    long all = start + tokens, num_panels = (all + PANEL - 1) / PANEL, group = heads / kv_heads;
    long wide = (size + PANEL - 1) / PANEL * PANEL, blocks = (tokens + MOST_ROWS - 1) / MOST_ROWS;
    number *value_panels = panels + num_panels * PANEL * size;
#pragma omp parallel num_threads(threads) if (tokens * all * heads * size > ALONE)
    for (long kv_head = 0; kv_head < kv_heads; kv_head++) {
#pragma omp for schedule(static)
        for (long panel = 0; panel < num_panels; panel++)
            pack_tokens(&m, kv_head, panel * PANEL, all, panels + panel * PANEL * size,
                        value_panels + panel * PANEL * wide);
#pragma omp for schedule(dynamic)
        for (long each = 0; each < group * blocks; each++) {
            long head = kv_head * group + each % group, first = each / group * MOST_ROWS;
            long rows = tokens - first < MOST_ROWS ? tokens - first : MOST_ROWS;
            long at = (first * heads + head) * size;
            attend_block(q + at, heads * size, start + first, rows, panels, value_panels, size, scale,
                         y + at);
        }
    }
}
#endif
