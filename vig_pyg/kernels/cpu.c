/* Kernels for processors. Plain C without torch: vig_pyg/kernels/_native.py calls them through ctypes.
 *
 * They use OpenMP through the runtime that torch has loaded, so that both share one pool of threads.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define WIDTH 16 /* values that one step handles: a vector register of the largest processors */
typedef float floats __attribute__((vector_size(4 * WIDTH)));
typedef int32_t ints __attribute__((vector_size(4 * WIDTH)));
typedef uint32_t bits __attribute__((vector_size(4 * WIDTH)));
typedef uint16_t halves __attribute__((vector_size(2 * WIDTH)));
typedef uint8_t bytes __attribute__((vector_size(WIDTH)));

#define MAX_LANES 512
#define MAX_RANKED 768   /* more survivors than this are inserted one by one: ranking is quadratic */
#define TILE_ROWS 48     /* targets of a tile, a multiple of every ROWS */
#define GATHER_ROWS 64
#define TILE_FLOATS (1 << 18) /* scores of a tile: they stay in a core's own cache */

typedef struct {
    float *scores, *v, maxima[MAX_LANES];
    int32_t *column;
} work;

typedef struct {
    const float *x, *y, *bias; /* (images, n, channels), (images, m, channels), with strides or NULL */
    int64_t images, n, m, channels, bias_image, bias_row, k, step, kept;
    int64_t *out; /* (2, images * n * kept): sources, targets */
} search;

typedef struct {
    int64_t rows, panel;
    void (*pack)(const float *, int64_t, int64_t, int64_t, float *);
    void (*tile)(const search *, const float *, int64_t, int64_t, int64_t, work *);
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
#include "select.h"
#include "search.h"
#include "gather.h"
#undef NAME
#undef ROWS
#undef VECTORS

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define NAME(x) x##_v3
#define ROWS 6
#define VECTORS 1
#include "select.h"
#include "search.h"
#include "gather.h"
#undef NAME
#undef ROWS
#undef VECTORS
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define NAME(x) x##_v4
#define ROWS 8
#define VECTORS 2
#define COMPRESS
#include "select.h"
#include "search.h"
#include "gather.h"
#undef NAME
#undef ROWS
#undef VECTORS
#undef COMPRESS
#pragma GCC pop_options
#define BEST(x) \
    (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")  ? x##_v4 \
     : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? x##_v3 \
                                                                        : x##_plain)
#else
#define BEST(x) x##_plain
#endif

/* Edges from each target to every step-th of its k best sources by x . y + bias, k <= m. 0 on success. */
int vig_nearest(const float *x, const float *y, const float *bias, int64_t images, int64_t n, int64_t m,
                int64_t channels, int64_t bias_image, int64_t bias_row, int64_t k, int64_t step, int64_t *out,
                int64_t threads) {
    kernels best = BEST(search_kernels);
    search s = {x, y, bias, images, n, m, channels, bias_image, bias_row, k, step, (k + step - 1) / step, out};
    int64_t panels = (m + best.panel - 1) / best.panel, size = panels * best.panel;
    int64_t rows = TILE_FLOATS / size / best.rows * best.rows;
    rows = rows < best.rows ? best.rows : rows > TILE_ROWS ? TILE_ROWS : rows;
    int64_t tiles = (n + rows - 1) / rows;
    float *packed = malloc((size_t)(images * size * channels) * sizeof(float));
    int failed = !packed;
    if (failed) return 1;
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        work w;
        w.scores = malloc((size_t)(rows * size) * sizeof(float));
        w.v = malloc((size_t)(size + WIDTH) * sizeof(float));
        w.column = malloc((size_t)(size + WIDTH) * sizeof(int32_t));
        failed = !w.scores || !w.v || !w.column;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < images * panels; ++i) {
            int64_t b = i / panels, p = i % panels;
            best.pack(y + b * m * channels, m, channels, p, packed + (b * size + p * best.panel) * channels);
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < images * tiles; ++i) {
            int64_t b = i / tiles, first = i % tiles * rows;
            if (!failed)
                best.tile(&s, packed + b * size * channels, b, first, first + rows < n ? first + rows : n, &w);
        }
        free(w.scores);
        free(w.v);
        free(w.column);
    }
    free(packed);
    return failed;
}

/* First edge of each target, (n + 1), of edges sorted by target. Returns 0, or 1 where the edges are not sorted, 2 where
 * an index is out of range, 3 where a target has more than 256 edges. */
int vig_first_edges(const int64_t *source, const int64_t *target, int64_t edges, int64_t m, int64_t n, int64_t *first,
                    int64_t threads) {
    int unsorted = 0, outside = 0, many = 0;
#pragma omp parallel for num_threads(threads) reduction(| : unsorted, outside) schedule(static)
    for (int64_t e = 0; e < edges; ++e) {
        int64_t before = e ? target[e - 1] : -1;
        outside |= source[e] < 0 || source[e] >= m || target[e] < 0 || target[e] >= n;
        unsorted |= target[e] < before;
        if (before < -1 || target[e] >= n) continue;
        for (int64_t i = before + 1; i <= target[e]; ++i) first[i] = e;
    }
    if (outside || unsorted) return outside ? 2 : 1;
    for (int64_t i = edges ? target[edges - 1] + 1 : 0; i <= n; ++i) first[i] = edges;
    for (int64_t i = 0; i < n; ++i) many |= first[i + 1] - first[i] > 256;
    return many ? 3 : 0;
}

/* Each target beside its largest difference to a source, channel by channel; 0 where it has no edge. Features are
 * float32, or bfloat16 where `half`. */
void vig_max_relative(const void *src, const void *dst, const int64_t *source, const int64_t *first, int64_t n,
                      int64_t channels, int64_t half, void *out, uint8_t *slot, int64_t threads) {
    gather g = {src, dst, source, first, n, channels, out, slot};
    void (*rows)(const gather *, int64_t, int64_t) = half ? BEST(max_relative_half) : BEST(max_relative);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t block = 0; block < (n + GATHER_ROWS - 1) / GATHER_ROWS; ++block) {
        int64_t last = (block + 1) * GATHER_ROWS;
        rows(&g, block * GATHER_ROWS, last < n ? last : n);
    }
}

/* Gradients of the above, added: each thread has channels of its own, so sums have one order. The buffers may be one. */
void vig_max_relative_backward(const float *grad, const int64_t *source, const int64_t *first, const uint8_t *slot,
                               int64_t n, int64_t channels, float *grad_src, float *grad_dst, int64_t threads) {
    int64_t part = (channels + threads - 1) / threads;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t t = 0; t < threads; ++t)
        for (int64_t i = 0; i < n; ++i) {
            const float *g = grad + 2 * i * channels;
            int64_t last = (t + 1) * part < channels ? (t + 1) * part : channels;
            int edges = first[i + 1] > first[i];
            for (int64_t c = t * part; c < last; ++c) {
                grad_dst[i * channels + c] += edges ? g[2 * c] - g[2 * c + 1] : g[2 * c];
                if (edges) grad_src[source[first[i] + slot[i * channels + c]] * channels + c] += g[2 * c + 1];
            }
        }
}
