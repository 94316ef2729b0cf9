/* Sources as panels, and edges from scores, of both searches. cpu.c includes this once for each kind of CPU. */

#undef PANEL
#define PANEL (VECTORS * WIDTH) /* sources of a panel */

#ifdef COMPRESS
/* Transposes up to WIDTH rows and columns of units of four bytes; 0 beyond the last row. */
INLINE void NAME(transpose)(const uint32_t *from, int64_t stride, int64_t rows, int64_t columns, uint32_t *to,
                            int64_t stride_to) {
    __mmask16 inside = columns < WIDTH ? (__mmask16)((1u << columns) - 1) : (__mmask16)-1;
    __m512i x[WIDTH], y[WIDTH];
    for (int i = 0; i < WIDTH; ++i) x[i] = i < rows ? _mm512_maskz_loadu_epi32(inside, from + i * stride) : _mm512_setzero_si512();
    /* units, pairs and fours of units of neighboring rows, then the four lanes of fours of rows */
    for (int i = 0; i < WIDTH; i += 2) {
        y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < WIDTH; i += 4)
        for (int j = 0; j < 2; ++j) {
            x[i + 2 * j] = _mm512_unpacklo_epi64(y[i + j], y[i + j + 2]);
            x[i + 2 * j + 1] = _mm512_unpackhi_epi64(y[i + j], y[i + j + 2]);
        }
    /* x[4 g + t] holds column 4 lane + t of rows 4 g ... 4 g + 3 in each lane */
    for (int t = 0; t < 4; ++t) {
        __m512i a = _mm512_shuffle_i32x4(x[t], x[4 + t], 0x44), b = _mm512_shuffle_i32x4(x[t], x[4 + t], 0xee);
        __m512i c = _mm512_shuffle_i32x4(x[8 + t], x[12 + t], 0x44), d = _mm512_shuffle_i32x4(x[8 + t], x[12 + t], 0xee);
        y[t] = _mm512_shuffle_i32x4(a, c, 0x88);
        y[4 + t] = _mm512_shuffle_i32x4(a, c, 0xdd);
        y[8 + t] = _mm512_shuffle_i32x4(b, d, 0x88);
        y[12 + t] = _mm512_shuffle_i32x4(b, d, 0xdd);
    }
    for (int i = 0; i < WIDTH && i < columns; ++i) _mm512_storeu_si512(to + i * stride_to, y[i]);
}
#endif

/* Rows of `width` units of four bytes as panels of PANEL columns, (panels, width, PANEL), 0 beyond the last row. */
INLINE void NAME(panels)(const uint32_t *rows, int64_t m, int64_t width, uint32_t *packed) {
    for (int64_t first = 0; first < m; first += PANEL, packed += width * PANEL)
#ifdef COMPRESS
        for (int64_t part = 0; part < PANEL; part += WIDTH)
            for (int64_t i = 0; i < width; i += WIDTH)
                NAME(transpose)(rows + (first + part) * width + i, width, m - first - part, width - i,
                                packed + i * PANEL + part, PANEL);
#else
        for (int64_t i = 0; i < width; ++i)
            for (int64_t j = 0; j < PANEL; ++j)
                packed[i * PANEL + j] = first + j < m ? rows[(first + j) * width + i] : 0;
#endif
}

/* Edges of target `row` of an image from its scores. Returns 0 if a score is NaN, because selection needs an order. */
INLINE int NAME(edges)(const search *s, int64_t b, int64_t row, float *scores, int nan, work *w) {
    int64_t i = b * s->n + row, *source = s->out + i * s->kept, *target = source + s->images * s->n * s->kept;
    if (nan)
        for (int64_t e = 0; e < s->kept; ++e) source[e] = 0;
    else
        NAME(best_of_row)(scores, s->m, s->k, s->step, b * s->m, source, w);
    for (int64_t e = 0; e < s->kept; ++e) target[e] = i;
    return !nan;
}
