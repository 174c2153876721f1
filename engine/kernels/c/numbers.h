#pragma once
/* Two kinds of numbers, float and, where BFLOAT16 is defined, bfloat16; arithmetic is in float.
 *
 * Everything here is compiled on the machine that runs it (compiling.py), once for each kind. No loop's
 * order depends on how many rows, heads or sequences there are: each has the same bits in any company,
 * on any number of threads. Sizes and strides are in numbers; a last dimension is contiguous. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef BFLOAT16
typedef uint16_t number;

static inline float get(number x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline number put(float value) { /* to the nearest, ties to even */
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return (number)(value == value ? rounded : 0x7fc0); /* what is no number stays none */
}
#else
typedef float number;
static inline float get(number x) { return x; }
static inline number put(float value) { return value; }
#endif

/* e^x to 1e-7 of its value; 0 below -87, where float32 ends. */
static inline float exponential(float x) {
    float inside = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    /* x = n ln 2 + r with |r| <= ln 2 / 2; ln 2 in two parts, the first without low bits. */
    float n = (inside * 1.44269504f + 12582912.0f) - 12582912.0f;
    float r = (inside - n * 0.693359375f) + n * 2.12194440e-4f;
    /* The series of e^r as far as r^7 / 7! */
    float e = 1.0f / 5040.0f;
    e = e * r + 1.0f / 720.0f;
    e = e * r + 1.0f / 120.0f;
    e = e * r + 1.0f / 24.0f;
    e = e * r + 1.0f / 6.0f;
    e = e * r + 0.5f;
    e = e * r + 1.0f;
    e = e * r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return x < -87.0f ? 0.0f : e * power;
}

static inline float silu(float x) { return x / (1.0f + exponential(-x)); }

static inline float sum_of_squares(const float *x, long size) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (long i = 0; i < size; i++) sum += x[i] * x[i];
    return sum;
}

/* Less work than this many numbers, each read and written, is done before another thread has woken. */
#define ALONE 32768
