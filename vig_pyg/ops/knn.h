/* Products of targets with sources, a tile at a time, and the best of each row while it is in the cache. cpu.c includes
 * this once for each kind of CPU, with ROWS and VECTORS such that a tile's sums fit its registers. */

#define PANEL (VECTORS * WIDTH)

/* Squared length of a row; in parts, as a sum in order would wait for each addition. */
INLINE float NAME(square)(const float *v, int64_t c) {
    floats sums = {0};
    float square = 0;
    int64_t j = 0;
    for (; j + WIDTH <= c; j += WIDTH) sums += NAME(load)(v + j) * NAME(load)(v + j);
    for (; j < c; ++j) square += v[j] * v[j];
    for (int t = 0; t < WIDTH; ++t) square += sums[t];
    return square;
}

/* Row i of the features as float32, of length one where asked for. Returns 0 where it is not finite. */
INLINE int NAME(feature)(const search *s, const void *from, int64_t i, float *out) {
    int64_t c = s->channels, j = 0;
    if (s->half)
        for (const uint16_t *v = (const uint16_t *)from + i * c; j < c; ++j) {
            uint32_t bits = (uint32_t)v[j] << 16;
            memcpy(out + j, &bits, sizeof bits);
        }
    else
        memcpy(out, (const float *)from + i * c, (size_t)c * sizeof(float));
    float norm = sqrtf(NAME(square)(out, c)), scale = 1 / (norm > 1e-12f ? norm : 1e-12f);
    if (s->unit)
        for (j = 0; j < c; ++j) out[j] *= scale;
    return isfinite(norm) != 0;
}

/* Sources of an image as panels of PANEL columns, (panels, c, PANEL), about their mean and with half their squared
 * lengths where the order is that of distance. */
static int64_t NAME(pack)(const search *s, int64_t b, float *rows, float *mean, float *packed, float *half_square) {
    int64_t c = s->channels, m = s->m, bad = -1;
    for (int64_t j = m - 1; j >= 0; --j)
        if (!NAME(feature)(s, s->y, b * m + j, rows + j * c)) bad = b * m + j;
    for (int64_t i = 0; i < c; ++i) mean[i] = 0;
    if (!s->bias) {
        for (int64_t j = 0; j < m; ++j)
            for (int64_t i = 0; i < c; ++i) mean[i] += rows[j * c + i] / (float)m;
        for (int64_t j = 0; j < m; ++j) {
            for (int64_t i = 0; i < c; ++i) rows[j * c + i] -= mean[i];
            half_square[j] = NAME(square)(rows + j * c, c) / 2;
        }
    }
    for (int64_t first = 0; first < m; first += PANEL, packed += c * PANEL)
        for (int64_t i = 0; i < c; ++i)
            for (int64_t j = 0; j < PANEL; ++j)
                packed[i * PANEL + j] = first + j < m ? rows[(first + j) * c + i] : 0;
    return bad;
}

/* Products of ROWS targets with the first sources of a panel, as many as `vectors` hold. */
INLINE void NAME(products)(const float *x, int64_t c, const float *packed, int vectors, float *scores, int64_t stride) {
    floats sums[ROWS][VECTORS] = {0};
    for (int64_t i = 0; i < c; ++i)
        for (int v = 0; v < vectors; ++v) {
            floats y = NAME(load)(packed + i * PANEL + v * WIDTH);
            for (int r = 0; r < ROWS; ++r) sums[r][v] += (x[i * ROWS + r] - (floats){0}) * y;
        }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < vectors; ++v) memcpy(scores + r * stride + v * WIDTH, &sums[r][v], sizeof(floats));
}

/* Edges of targets first .. last - 1 of image b. Returns the first target that is not finite, or -1. */
static int64_t NAME(tile)(const search *s, int64_t b, int64_t first, int64_t last, const float *mean,
                          const float *packed, const float *half_square, work *w) {
    int64_t c = s->channels, panels = (s->m + PANEL - 1) / PANEL, stride = panels * PANEL, bad = -1;
    for (int64_t i = (last - first + ROWS - 1) / ROWS * ROWS - 1; i >= 0; --i) { /* beyond the last one again */
        int64_t row = first + i < last ? first + i : last - 1;
        if (!NAME(feature)(s, s->x, b * s->n + row, w->v)) bad = b * s->n + row;
        for (int64_t j = 0; j < c; ++j) w->x[(i / ROWS * c + j) * ROWS + i % ROWS] = w->v[j] - mean[j];
    }
    for (int64_t p = 0; p < panels; ++p)
        for (int64_t i = 0; i < last - first; i += ROWS) {
            float *scores = w->scores + i * stride + p * PANEL;
            if (s->m - p * PANEL > WIDTH)
                NAME(products)(w->x + i * c, c, packed + p * c * PANEL, VECTORS, scores, stride);
            else
                NAME(products)(w->x + i * c, c, packed + p * c * PANEL, 1, scores, stride);
        }
    for (int64_t i = first; i < last; ++i) {
        float *scores = w->scores + (i - first) * stride;
        int64_t row = b * s->n + i, *source = s->out + row * s->kept, *target = source + s->images * s->n * s->kept;
        int32_t nan = 0;
        if (s->bias) {
            const float *bias = s->bias + b * s->bias_image + i * s->bias_row;
            for (int64_t j = 0; j < s->m; ++j) scores[j] += bias[j], nan |= scores[j] != scores[j];
        } else {
            for (int64_t j = 0; j < s->m; ++j) scores[j] -= half_square[j], nan |= scores[j] != scores[j];
        }
        if (nan) { /* selection needs an order */
            for (int64_t e = 0; e < s->kept; ++e) source[e] = 0;
            bad = bad >= 0 && bad < row ? bad : row;
        } else {
            NAME(best_of_row)(scores, s->m, s->k, s->step, source, w);
        }
        for (int64_t e = 0; e < s->kept; ++e) {
            source[e] += b * s->m;
            target[e] = row;
        }
    }
    return bad;
}

static const kernels NAME(search_kernels) = {ROWS, PANEL, NAME(pack), NAME(tile)};

#undef PANEL
