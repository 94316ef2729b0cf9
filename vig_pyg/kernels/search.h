/* Products of targets with sources, a tile at a time, and the best of each row while it is in the cache. cpu.c includes
 * this once for each kind of processor, with ROWS and VECTORS such that a tile's sums fit its registers. */

#define PANEL (VECTORS * WIDTH)

/* Sources (m, c) as panels of PANEL columns, (ceil(m / PANEL), c, PANEL); columns beyond m are zero. */
static void NAME(pack)(const float *y, int64_t m, int64_t c, int64_t panel, float *packed) {
    for (int64_t j = 0; j < PANEL; ++j) {
        int64_t column = panel * PANEL + j;
        for (int64_t i = 0; i < c; ++i) packed[i * PANEL + j] = column < m ? y[column * c + i] : 0;
    }
}

/* Products of ROWS targets with the first sources of a panel, as many as `vectors` hold. */
INLINE void NAME(products)(const float *const *x, int64_t c, const float *packed, int vectors, float *scores,
                           int64_t stride) {
    floats sums[ROWS][VECTORS] = {0};
    for (int64_t i = 0; i < c; ++i)
        for (int v = 0; v < vectors; ++v) {
            floats y = NAME(load)(packed + i * PANEL + v * WIDTH);
            for (int r = 0; r < ROWS; ++r) sums[r][v] += (x[r][i] - (floats){0}) * y;
        }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < vectors; ++v) memcpy(scores + r * stride + v * WIDTH, &sums[r][v], sizeof(floats));
}

/* Edges of targets first .. last - 1 of image b. */
static void NAME(tile)(const search *s, const float *packed, int64_t b, int64_t first, int64_t last, work *w) {
    int64_t c = s->channels, panels = (s->m + PANEL - 1) / PANEL, stride = panels * PANEL;
    const float *x = s->x + b * s->n * c;
    for (int64_t p = 0; p < panels; ++p)
        for (int64_t i = first; i < last; i += ROWS) {
            const float *rows[ROWS];
            for (int r = 0; r < ROWS; ++r) rows[r] = x + (i + r < last ? i + r : last - 1) * c;
            float *scores = w->scores + (i - first) * stride + p * PANEL;
            if (s->m - p * PANEL > WIDTH)
                NAME(products)(rows, c, packed + p * c * PANEL, VECTORS, scores, stride);
            else
                NAME(products)(rows, c, packed + p * c * PANEL, 1, scores, stride);
        }
    for (int64_t i = first; i < last; ++i) {
        float *scores = w->scores + (i - first) * stride;
        int64_t row = b * s->n + i, *source = s->out + row * s->kept, *target = source + s->images * s->n * s->kept;
        if (s->bias) {
            const float *bias = s->bias + b * s->bias_image + i * s->bias_row;
            for (int64_t j = 0; j < s->m; ++j) scores[j] += bias[j];
        }
        for (int64_t e = 0; e < s->kept; ++e) source[e] = 0; /* what a row that is not finite leaves unset */
        NAME(best_of_row)(scores, s->m, s->k, s->step, source, w);
        for (int64_t e = 0; e < s->kept; ++e) {
            source[e] += b * s->m;
            target[e] = row;
        }
    }
}

static const kernels NAME(search_kernels) = {ROWS, PANEL, NAME(pack), NAME(tile)};

#undef PANEL
