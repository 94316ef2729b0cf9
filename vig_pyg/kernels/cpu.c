/* Kernels for processors. Plain C without torch: vig_pyg/kernels/cpu.py calls them through ctypes.
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

#define MAX_LANES 512
#define MAX_RANKED 768 /* more survivors than this are inserted one by one: ranking is quadratic */

typedef struct {
    int64_t m, k, step, lanes;
    float *v, maxima[MAX_LANES];
    int32_t *column;
} work;

typedef void (*row_kernel)(const float *, int64_t *, work *);

#define NAME(x) x##_plain
#include "topk.h"
#undef NAME

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define NAME(x) x##_v3
#include "topk.h"
#undef NAME
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#define NAME(x) x##_v4
#include "topk.h"
#undef NAME
#pragma GCC pop_options

static row_kernel choose(void) {
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) return best_of_row_v4;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) return best_of_row_v3;
    return best_of_row_plain;
}
#else
static row_kernel choose(void) { return best_of_row_plain; }
#endif

/* For each of `rows` rows of m scores the columns of every step-th of its k largest scores, best first, k <= m.
 * Two reads of the row and a few operations for each survivor; out is (rows, ceil(k / step)). 0 on success. */
int vig_topk(const float *scores, int64_t rows, int64_t m, int64_t k, int64_t step, int64_t *out, int64_t threads) {
    int64_t lanes = WIDTH, kept = (k + step - 1) / step;
    row_kernel kernel = choose();
    int failed = 0;
    while (lanes < k && lanes < MAX_LANES) lanes *= 2;
    if (lanes < k || 2 * m < 3 * lanes) lanes = 0; /* nearly all values would survive: no bound is worth its price */
#pragma omp parallel num_threads(threads) reduction(| : failed)
    {
        work w = {.m = m, .k = k, .step = step, .lanes = lanes};
        w.v = malloc((size_t)(m + WIDTH) * sizeof(float));
        w.column = malloc((size_t)(m + WIDTH) * sizeof(int32_t));
        failed = !w.v || !w.column;
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows; ++r) {
            if (failed) continue;
            for (int64_t i = 0; i < kept; ++i) out[r * kept + i] = 0;
            kernel(scores + r * m, out + r * kept, &w);
        }
        free(w.v);
        free(w.column);
    }
    return failed;
}
