/* The search in features of bfloat16, two channels a step. cpu.c includes this for CPUs that multiply pairs.
 *
 * Products of bfloat16 are exact in float32, in which they are summed, as in the search in float32. So the features are
 * multiplied as they are, and the products are divided by the lengths. Products below 1e-38 count as 0, which is seen
 * only where features are shorter than 1e-15.
 */

/* 1 / length, as the features are normalized. Returns 0 where a feature is not finite. */
INLINE float NAME(inverse_length)(const uint16_t *v, int64_t c) {
    __m512 sums = _mm512_setzero_ps();
    for (int64_t j = 0; j < c; j += 2 * WIDTH) {
        __mmask32 inside = c - j < 2 * WIDTH ? (__mmask32)((1u << (c - j)) - 1) : (__mmask32)-1;
        __m512bh x = (__m512bh)_mm512_maskz_loadu_epi16(inside, v + j);
        sums = _mm512_dpbf16_ps(sums, x, x);
    }
    float norm = sqrtf(_mm512_reduce_add_ps(sums));
    return isfinite(norm) ? 1 / (norm > 1e-12f ? norm : 1e-12f) : 0;
}

static int64_t NAME(pack_pairs)(const search *s, int64_t b, float *rows, float *mean, float *packed, float *inverse) {
    int64_t c = s->channels, m = s->m, bad = -1;
    const uint16_t *y = (const uint16_t *)s->y + b * m * c;
    (void)rows, (void)mean; /* of the search in float32 */
    for (int64_t j = m - 1; j >= 0; --j) {
        inverse[j] = NAME(inverse_length)(y + j * c, c);
        if (inverse[j] == 0) bad = b * m + j;
    }
    NAME(panels)((const uint32_t *)y, m, c / 2, (uint32_t *)packed);
    return bad;
}

INLINE void NAME(products_of_pairs)(const uint16_t *const *x, int64_t pairs, const float *packed, int vectors,
                                    float *scores, int64_t stride) {
    __m512 sums[ROWS][VECTORS];
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < VECTORS; ++v) sums[r][v] = _mm512_setzero_ps();
    for (int64_t i = 0; i < pairs; ++i)
        for (int v = 0; v < vectors; ++v) {
            __m512bh y = (__m512bh)_mm512_loadu_ps(packed + i * PANEL + v * WIDTH);
            for (int r = 0; r < ROWS; ++r) {
                int32_t pair;
                memcpy(&pair, x[r] + 2 * i, sizeof pair);
                sums[r][v] = _mm512_dpbf16_ps(sums[r][v], y, (__m512bh)_mm512_set1_epi32(pair));
            }
        }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < vectors; ++v) _mm512_storeu_ps(scores + r * stride + v * WIDTH, sums[r][v]);
}

static int64_t NAME(tile_of_pairs)(const search *s, int64_t b, int64_t first, int64_t last, const float *mean,
                                   const float *packed, const float *inverse, work *w) {
    int64_t c = s->channels, panels = (s->m + PANEL - 1) / PANEL, stride = panels * PANEL, bad = -1;
    const uint16_t *targets = (const uint16_t *)s->x + b * s->n * c;
    (void)mean;
    for (int64_t p = 0; p < panels; ++p)
        for (int64_t i = first; i < last; i += ROWS) {
            float *scores = w->scores + (i - first) * stride + p * PANEL;
            const uint16_t *x[ROWS];
            for (int r = 0; r < ROWS; ++r) x[r] = targets + (i + r < last ? i + r : last - 1) * c;
            if (s->m - p * PANEL > WIDTH)
                NAME(products_of_pairs)(x, c / 2, packed + p * c / 2 * PANEL, VECTORS, scores, stride);
            else
                NAME(products_of_pairs)(x, c / 2, packed + p * c / 2 * PANEL, 1, scores, stride);
        }
    for (int64_t row = last - 1; row >= first; --row) {
        float *scores = w->scores + (row - first) * stride, scale = NAME(inverse_length)(targets + row * c, c);
        const float *bias = s->bias + b * s->bias_image + row * s->bias_row;
        int32_t nan = 0;
        for (int64_t j = 0; j < s->m; ++j)
            scores[j] = scores[j] * scale * inverse[j] + bias[j], nan |= scores[j] != scores[j];
        if (!NAME(edges)(s, b, row, scores, nan, w) || scale == 0) bad = b * s->n + row;
    }
    return bad;
}

static const kernels NAME(search_kernels) = {ROWS, PANEL, NAME(pack_pairs), NAME(tile_of_pairs)};
