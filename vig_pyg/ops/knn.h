/* The search in float32: products of targets with sources, a tile at a time, and the best of each row while it is in the
 * cache. cpu.c includes this once for each kind of CPU, with ROWS and VECTORS such that a tile's sums fit its registers. */

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

/* Sources of an image as panels, about their mean and with half their squared lengths where the order is that of
 * distance. Returns the first source that is not finite, or -1. */
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
    NAME(panels)((const uint32_t *)rows, m, c, (uint32_t *)packed);
    return bad;
}

/* Products of ROWS targets with the first sources of a panel, as many as `vectors` hold. */
INLINE void NAME(products)(const float *const *x, int64_t c, const float *packed, int vectors, float *scores, int64_t stride) {
    floats sums[ROWS][VECTORS] = {0};
    for (int64_t i = 0; i < c; ++i)
        for (int v = 0; v < vectors; ++v) {
            floats y = NAME(load)(packed + i * PANEL + v * WIDTH);
            for (int r = 0; r < ROWS; ++r) sums[r][v] += (x[r][i] - (floats){0}) * y;
        }
    for (int r = 0; r < ROWS; ++r)
        for (int v = 0; v < vectors; ++v) memcpy(scores + r * stride + v * WIDTH, &sums[r][v], sizeof(floats));
}

/* Edges of targets first .. last - 1 of image b. Returns the first target that is not finite, or -1. */
static int64_t NAME(tile)(const search *s, int64_t b, int64_t first, int64_t last, const float *mean,
                          const float *packed, const float *half_square, work *w) {
    int64_t c = s->channels, panels = (s->m + PANEL - 1) / PANEL, stride = panels * PANEL, bad = -1;
    for (int64_t i = last - first - 1; i >= 0; --i) {
        if (!NAME(feature)(s, s->x, b * s->n + first + i, w->x + i * c)) bad = b * s->n + first + i;
        for (int64_t j = 0; j < c; ++j) w->x[i * c + j] -= mean[j];
    }
    for (int64_t p = 0; p < panels; ++p)
        for (int64_t i = 0; i < last - first; i += ROWS) {
            float *scores = w->scores + i * stride + p * PANEL;
            const float *x[ROWS];
            for (int r = 0; r < ROWS; ++r) x[r] = w->x + (first + i + r < last ? i + r : last - first - 1) * c;
            if (s->m - p * PANEL > WIDTH)
                NAME(products)(x, c, packed + p * c * PANEL, VECTORS, scores, stride);
            else
                NAME(products)(x, c, packed + p * c * PANEL, 1, scores, stride);
        }
    for (int64_t row = first; row < last; ++row) {
        float *scores = w->scores + (row - first) * stride;
        int32_t nan = 0;
        if (s->bias) {
            const float *bias = s->bias + b * s->bias_image + row * s->bias_row;
            for (int64_t j = 0; j < s->m; ++j) scores[j] += bias[j], nan |= scores[j] != scores[j];
        } else {
            for (int64_t j = 0; j < s->m; ++j) scores[j] -= half_square[j], nan |= scores[j] != scores[j];
        }
        if (!NAME(edges)(s, b, row, scores, nan, w)) bad = bad >= 0 && bad < b * s->n + row ? bad : b * s->n + row;
    }
    return bad;
}

static const kernels NAME(search_kernels) = {ROWS, PANEL, NAME(pack), NAME(tile)};
