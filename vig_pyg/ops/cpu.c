/* Kernels for CPUs. Plain C without torch: vig_pyg/ops/_native.py calls them through ctypes.
 *
 * Where `_compile.py` compiles them with OpenMP, they use the runtime that torch has loaded, so that both share one
 * pool of threads; otherwise they use one thread. The callers check types, shapes and strides; indices are checked
 * here, where they are read.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#define THREAD omp_get_thread_num()
#else
#define THREAD 0
#endif

#define INLINE static inline __attribute__((always_inline))
#define WIDTH 16 /* values that one step handles: a vector register of the largest CPUs */
typedef float floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ints __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t bits __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t halves __attribute__((vector_size(2 * WIDTH)));
typedef int16_t shorts __attribute__((vector_size(4 * WIDTH)));
#define KEYS (2 * WIDTH) /* values in `shorts` */
typedef uint8_t bytes __attribute__((vector_size(WIDTH)));

#define MAX_LANES 512
#define MAX_RANKED 768   /* more survivors than this are inserted one by one: ranking is quadratic */
#define TILE_ROWS 48     /* targets of a tile, a multiple of every ROWS */
#define GATHER_ROWS 64
#define PACKED_FLOATS (1 << 19) /* packed sources that stay in a core's cache */
#define TILE_FLOATS (1 << 18) /* scores of a tile: they stay in a core's own cache */

typedef struct {
    float *x, *scores, *v, maxima[MAX_LANES];
    int32_t *column;
} work;

typedef struct {
    const void *x, *y; /* (images, n, channels), (images, m, channels), float32, or bfloat16 where `half` */
    const float *bias; /* with strides of images and rows, or NULL for the order of distance */
    int64_t half, unit, images, n, m, channels, bias_image, bias_row, k, step, kept;
    int64_t *out; /* (2, images * n * kept): sources, targets */
} search;

typedef struct {
    int64_t rows, panel;
    int64_t (*pack)(const search *, int64_t, float *, float *, float *, float *);
    int64_t (*tile)(const search *, int64_t, int64_t, int64_t, const float *, const float *, const float *, work *);
} kernels;

typedef struct {
    const void *src, *dst; /* (m, channels), (n, channels) */
    const int64_t *source, *first; /* sources of the edges; first edge of each target, (n + 1) */
    int64_t n, channels;
    void *out;     /* (n, 2 channels) */
    uint8_t *slot; /* (n, channels) or NULL */
} gather;

#define NAME(x) x##_plain
#define ROWS 3
#define VECTORS 1
#include "halves.h"
#include "select.h"
#include "tiles.h"
#include "knn.h"
#include "max_relative.h"
#include "batch_norm.h"
#undef NAME
#undef ROWS
#undef VECTORS

/* On Windows, GCC does not align the stack as AVX needs it. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(_WIN32)
#include <immintrin.h>
/* Features instead of "arch=", whatever architecture the compiler was told: intrinsics are inlined within one only. */
#pragma GCC push_options
#pragma GCC target("sse4.2,popcnt,avx2,bmi,bmi2,f16c,fma,lzcnt,movbe,tune=generic")
#define NAME(x) x##_v3
#define ROWS 6
#define VECTORS 1
#include "halves.h"
#include "select.h"
#include "tiles.h"
#include "knn.h"
#include "max_relative.h"
#include "batch_norm.h"
#undef NAME
#undef ROWS
#undef VECTORS
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("sse4.2,popcnt,avx2,bmi,bmi2,f16c,fma,lzcnt,movbe,tune=generic,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,prefer-vector-width=512")
#define NAME(x) x##_v4
#define ROWS 8
#define VECTORS 2
#define COMPRESS
#include "halves.h"
#include "select.h"
#include "tiles.h"
#include "knn.h"
#include "max_relative.h"
#include "batch_norm.h"
#undef NAME
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("sse4.2,popcnt,avx2,bmi,bmi2,f16c,fma,lzcnt,movbe,tune=generic,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512bf16,prefer-vector-width=512")
#define NAME(x) x##_v4_pairs
#include "select.h"
#include "tiles.h"
#include "knn_pairs.h"
#undef NAME
#undef ROWS
#undef VECTORS
#undef COMPRESS
#pragma GCC pop_options
#ifndef LEVEL /* a test can build for smaller CPUs: 1 for plain C, 3 for AVX2, 4 for AVX-512 without bfloat16 */
#define LEVEL 5
#endif
#define BEST(x)                                                                                            \
    (LEVEL >= 4 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")       ? x##_v4 \
     : LEVEL >= 3 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? x##_v3 \
                                                                                      : x##_plain)
#define PAIRS(x) (LEVEL >= 5 && __builtin_cpu_supports("avx512bf16") ? x##_v4_pairs : BEST(x))
#else
#define BEST(x) x##_plain
#define PAIRS(x) BEST(x)
#endif

/* What _native.py expects; it rises when a function below takes or returns something else. */
int vig_version(void) { return 4; }

/* Edges from each target to every step-th of its k nearest sources, or with a bias of its k best by x . y + bias.
 * Needs 1 <= k <= m < 2^31 - 32 and 1 <= step <= k. Returns 0, 1 without memory, 2 where a feature is not finite or a
 * score is NaN: bad holds the first such target and source. */
int vig_nearest(const void *x, const void *y, const float *bias, int64_t half, int64_t unit, int64_t images, int64_t n,
                int64_t m, int64_t channels, int64_t bias_image, int64_t bias_row, int64_t k, int64_t step,
                int64_t *out, int64_t *bad, int64_t threads) {
    /* pairs need lengths to divide by, and an even number of channels */
    kernels best = half && unit && bias && channels % 2 == 0 ? PAIRS(search_kernels) : BEST(search_kernels);
    search s = {x, y, bias, half, unit, images, n, m, channels, bias_image, bias_row, k, step, (k + step - 1) / step, out};
    int64_t size = (m + best.panel - 1) / best.panel * best.panel;
    int64_t rows = TILE_FLOATS / size / best.rows * best.rows;
    rows = rows < best.rows ? best.rows : rows > TILE_ROWS ? TILE_ROWS : rows;
    int64_t tiles = (n + rows - 1) / rows, longest = size > channels ? size : channels;
    /* Each thread packs the sources of its own tiles if they stay in its cache; otherwise all images are packed once. */
    int64_t values = size * channels, own = values <= PACKED_FLOATS, copies = own ? threads : images;
    int64_t bad_target = images * n, bad_source = images * m;
    float *all = malloc((size_t)(copies * (values + m + channels)) * sizeof(float));
    if (!all) return 1;
    int failed = 0;
#pragma omp parallel num_threads(threads) reduction(| : failed) reduction(min : bad_target, bad_source)
    {
        work w;
        float *features = malloc((size_t)(m * channels) * sizeof(float));
        w.x = malloc((size_t)(rows * channels) * sizeof(float));
        w.scores = malloc((size_t)(rows * size) * sizeof(float));
        w.v = malloc((size_t)(longest + WIDTH) * sizeof(float));
        w.column = malloc((size_t)(size + WIDTH) * sizeof(int32_t));
        failed = !features || !w.x || !w.scores || !w.v || !w.column;
#pragma omp for schedule(static)
        for (int64_t b = 0; b < (own ? 0 : images); ++b) {
            float *packed = all + b * (values + m + channels), *lengths = packed + values, *mean = lengths + m;
            if (failed) continue;
            int64_t at = best.pack(&s, b, features, mean, packed, lengths);
            if (at >= 0 && at < bad_source) bad_source = at;
        }
        int64_t image = -1;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < images * tiles; ++i) {
            int64_t b = i / tiles, first = i % tiles * rows, last = first + rows < n ? first + rows : n, at;
            float *packed = all + (own ? THREAD : b) * (values + m + channels), *lengths = packed + values, *mean = lengths + m;
            if (failed) continue;
            if (own && b != image) {
                image = b;
                at = best.pack(&s, b, features, mean, packed, lengths);
                if (at >= 0 && at < bad_source) bad_source = at;
            }
            at = best.tile(&s, b, first, last, mean, packed, lengths, &w);
            if (at >= 0 && at < bad_target) bad_target = at;
        }
        free(features);
        free(w.x);
        free(w.scores);
        free(w.v);
        free(w.column);
    }
    free(all);
    bad[0] = bad_target < images * n ? bad_target : -1;
    bad[1] = bad_source < images * m ? bad_source : -1;
    return failed ? 1 : bad[0] >= 0 || bad[1] >= 0 ? 2 : 0;
}

/* First edge of each target, (n + 1), of edges sorted by target. Returns 0, or 1 where the edges are not sorted, 2 where
 * an index is out of range, 3 where a target has more than 256 edges. */
int vig_first_edges(const int64_t *source, const int64_t *target, int64_t edges, int64_t m, int64_t n, int64_t *first,
                    int64_t threads) {
    int unsorted = 0, outside = 0, many = 0;
#pragma omp parallel for num_threads(threads) reduction(| : unsorted, outside) schedule(static)
    for (int64_t t = 0; t < threads; ++t) {
        int64_t e = edges * t / threads, end = edges * (t + 1) / threads, before = e ? target[e - 1] : -1;
        for (; e < end && before >= -1; ++e) {
            int64_t here = target[e];
            if ((uint64_t)source[e] >= (uint64_t)m || (uint64_t)here >= (uint64_t)n || here < before) break;
            for (int64_t i = before + 1; i <= here; ++i) first[i] = e;
            before = here;
        }
        for (; e < end; ++e) { /* nothing is used any more: which fault is it? */
            outside |= (uint64_t)source[e] >= (uint64_t)m || (uint64_t)target[e] >= (uint64_t)n;
            unsorted |= target[e] < (e ? target[e - 1] : -1);
        }
    }
    if (outside || unsorted) return outside ? 2 : 1;
    for (int64_t i = edges ? target[edges - 1] + 1 : 0; i <= n; ++i) first[i] = edges;
    for (int64_t i = 0; i < n; ++i) many |= first[i + 1] - first[i] > 256;
    return many ? 3 : 0;
}

/* Each target beside its largest difference to a source, channel by channel; 0 where it has no edge. Features are
 * float32, or bfloat16 where `half`. There are m sources. */
void vig_max_relative(const void *src, const void *dst, const int64_t *source, const int64_t *first, int64_t n, int64_t m,
                      int64_t channels, int64_t half, void *out, uint8_t *slot, int64_t threads) {
    gather g = {src, dst, source, first, n, channels, out, slot};
    void (*rows)(const gather *, int64_t, int64_t) = half ? BEST(max_relative_half) : BEST(max_relative);
    void (*make)(const uint16_t *, int64_t, int64_t, int16_t *) = BEST(max_relative_keys);
    void (*rows_of_keys)(const gather *, const int16_t *, int64_t, int64_t) = BEST(max_relative_of_keys);
    /* keys pay where each is read several times; without memory for them there are none */
    int64_t blocks = (n + GATHER_ROWS - 1) / GATHER_ROWS, values = m * channels;
    int16_t *keys = half && !slot && channels >= KEYS && first[n] >= 2 * m ? malloc((size_t)values * sizeof *keys) : NULL;
#pragma omp parallel num_threads(threads)
    {
        if (keys) {
#pragma omp for schedule(static)
            for (int64_t i = 0; i < m; ++i) make(src, i * channels, (i + 1) * channels, keys);
        }
#pragma omp for schedule(static)
        for (int64_t block = 0; block < blocks; ++block) {
            int64_t start = block * GATHER_ROWS, end = start + GATHER_ROWS < n ? start + GATHER_ROWS : n;
            if (keys)
                rows_of_keys(&g, keys, start, end);
            else
                rows(&g, start, end);
        }
    }
    free(keys);
}

/* Gradients of the above, added: each thread has channels of its own, so sums have one order. The buffers may be one.
 * Returns 0, or 1 where a slot names no edge of its target. */
int vig_max_relative_backward(const float *grad, const int64_t *source, const int64_t *first, const uint8_t *slot,
                               int64_t n, int64_t channels, float *grad_src, float *grad_dst, int64_t threads) {
    int64_t part = (channels + threads - 1) / threads;
    int wrong = 0;
#pragma omp parallel for num_threads(threads) reduction(| : wrong) schedule(static)
    for (int64_t t = 0; t < threads; ++t)
        for (int64_t i = 0; i < n; ++i) {
            const float *g = grad + 2 * i * channels;
            const int64_t *sources = source + first[i];
            int64_t last = (t + 1) * part < channels ? (t + 1) * part : channels, edges = first[i + 1] - first[i];
            for (int64_t c = t * part; c < last; ++c) {
                int64_t s = slot[i * channels + c];
                grad_dst[i * channels + c] += edges ? g[2 * c] - g[2 * c + 1] : g[2 * c];
                if (s < edges)
                    grad_src[sources[s] * channels + c] += g[2 * c + 1];
                else
                    wrong |= edges > 0;
            }
        }
    return wrong;
}

/* Shares rows among threads; each has sums of its own, added in one order at the end. */
#define EACH_PART(CALL)                                                                 \
    _Pragma("omp parallel for num_threads(threads) schedule(static)")                   \
    for (int64_t t = 0; t < threads; ++t) {                                             \
        int64_t start = rows * t / threads, end = rows * (t + 1) / threads;             \
        CALL;                                                                           \
    }

static void add_parts(double *parts, int64_t threads, int64_t count) {
    for (int64_t t = 1; t < threads; ++t)
        for (int64_t i = 0; i < count; ++i) parts[i] += parts[t * count + i];
}

/* Value i of the features, in float32 or, where `low`, in bfloat16. */
static float value(const void *h, int64_t low, int64_t i) {
    if (!low) return ((const float *)h)[i];
    uint32_t b = (uint32_t)((const uint16_t *)h)[i] << 16;
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* Mean and variance of each channel of h (rows, c), in float32 or, where `low`, in bfloat16. 0 on success. */
int vig_norm_stats(const void *h, int64_t low, int64_t rows, int64_t c, float *mean, float *variance,
                   int64_t threads) {
    int64_t each = 2 * c + WIDTH; /* a thread's sums; the last step reaches behind the last channel */
    double *parts = calloc((size_t)(threads * each), sizeof(double));
    if (!parts) return 1;
    void (*sums)(const void *, int64_t, int64_t, int64_t, int, double *, double *) = BEST(norm_sums);
    EACH_PART(sums(h, start, end, c, (int)low, parts + each * t, parts + each * t + c))
    add_parts(parts, threads, each);
    for (int64_t j = 0; j < c; ++j) {
        double center = parts[j] / (double)rows, square = parts[c + j] / (double)rows - center * center;
        mean[j] = (float)(value(h, low, j) + center);
        variance[j] = (float)(square > 0 ? square : 0);
    }
    free(parts);
    return 0;
}

/* out = scale h + shift, or its GELU, plus the residual where there is one, (rows, c). The residual has the type of out,
 * which is float32 where h is. */
void vig_norm_apply(const void *h, int64_t low, int64_t rows, int64_t c, int64_t gelu, const float *scale,
                    const float *shift, const void *residual, void *out, int64_t low_out, int64_t threads) {
    void (*apply)(const void *, int64_t, int64_t, int64_t, int, int, int, const float *, const float *, const void *,
                  void *) = BEST(norm_apply);
    EACH_PART(apply(h, start, end, c, (int)low, (int)low_out, (int)gelu, scale, shift, residual, out))
}

/* out = GELU(scale h + shift), (rows, c), and h becomes its slope; both in float32. */
void vig_norm_slope(float *h, int64_t rows, int64_t c, const float *scale, const float *shift, float *out,
                    int64_t threads) {
    void (*slope)(float *, int64_t, int64_t, int64_t, const float *, const float *, float *) = BEST(norm_slope);
    EACH_PART(slope(h, start, end, c, scale, shift, out))
}

/* From the gradient g of weight (h - mean) rate + bias, or of its GELU, that of h in the type of h, which may be written
 * over g, rate = 1 / sqrt(variance + eps); the gradients of weight and bias. scale = weight rate,
 * shift = bias - mean scale. g is float32 where h is. 0 on success. */
int vig_norm_backward(const void *g, int64_t low_g, const void *h, int64_t low, int64_t rows, int64_t c, int64_t gelu,
                      const float *mean, const float *rate, const float *scale, const float *shift, void *out,
                      float *grad_weight, float *grad_bias, int64_t threads) {
    int64_t each = 2 * c + WIDTH; /* a thread's sums; the last step reaches behind the last channel */
    double *parts = calloc((size_t)(threads * each), sizeof(double));
    float *factors = malloc((size_t)(2 * c) * sizeof(float));
    if (!parts || !factors) {
        free(parts);
        free(factors);
        return 1;
    }
    void (*inner)(const void *, const void *, int64_t, int64_t, int64_t, int, int, int, const float *, const float *,
                  void *, double *, double *) = BEST(norm_backward);
    void (*affine)(const void *, const void *, int64_t, int64_t, int64_t, int, int, const float *, const float *,
                   const float *, void *) = BEST(affine);
    EACH_PART(inner(g, h, start, end, c, (int)low, (int)low_g, (int)gelu, scale, shift, out, parts + each * t,
                    parts + each * t + c))
    add_parts(parts, threads, each);
    for (int64_t j = 0; j < c; ++j) {
        /* sum of g (h - mean) rate, from that of g (h - h[0]) */
        double product = (parts[c + j] - parts[j] * ((double)mean[j] - value(h, low, j))) * rate[j];
        double of_h = -scale[j] * rate[j] * product / (double)rows;
        grad_weight[j] = (float)product;
        grad_bias[j] = (float)parts[j];
        factors[j] = (float)(-scale[j] * parts[j] / (double)rows - of_h * mean[j]);
        factors[c + j] = (float)of_h;
    }
    /* Behind GELU, the gradient of its input has been written to `out`. */
    const void *from = gelu ? out : g;
    int low_from = (int)(gelu ? low : low_g);
    EACH_PART(affine(from, h, start, end, c, (int)low, low_from, scale, factors, factors + c, out))
    free(parts);
    free(factors);
    return 0;
}

/* Calls back with 0 .. count - 1 on the threads that torch uses, each as soon as it is free. 0 on success, 1 if the
 * kernels were compiled without threads, where nothing is called. */
int vig_each(void (*call)(int64_t), int64_t count, int64_t threads) {
#ifdef _OPENMP
#pragma omp parallel for num_threads(threads) schedule(dynamic)
    for (int64_t i = 0; i < count; ++i) call(i);
    return 0;
#else
    (void)call, (void)count, (void)threads;
    return 1;
#endif
}
