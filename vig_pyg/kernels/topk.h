/* The best of one row of scores. cpu.c includes this once for each kind of processor: vectors are lowered for the
 * target of the function that holds them, so the target has to be known here. */

INLINE floats NAME(load)(const float *v) {
    floats x;
    memcpy(&x, v, sizeof x);
    return x;
}

/* Ranks of WIDTH values from v[first] on among n: how many are larger, or equal and earlier. */
INLINE ints NAME(rank)(const float *v, int64_t n, int64_t first) {
    floats x = NAME(load)(v + first);
    ints before = {0}, place;
    for (int t = 0; t < WIDTH; ++t) place[t] = (int32_t)first + t;
    /* all of them against one value at a time: no sum across a register; what holds is -1 */
    int64_t j = 0, end = first + WIDTH < n ? first + WIDTH : n;
    for (; j < first; ++j) before -= v[j] - (floats){0} >= x;
    for (; j < end; ++j) {
        floats y = v[j] - (floats){0};
        before -= (y > x) | ((y == x) & ((int32_t)j < place));
    }
    for (; j < n; ++j) before -= v[j] - (floats){0} > x;
    return before;
}

/* A bound that at least k values of the row reach: the k-th largest of the maxima of `lanes` interleaved parts. */
INLINE float NAME(lower_bound)(const float *s, int64_t m, int64_t k, int64_t lanes, float *maxima) {
    for (int64_t l = 0; l < lanes; ++l) maxima[l] = s[l];
    int64_t j = lanes;
    for (; j + lanes <= m; j += lanes)
        for (int64_t l = 0; l < lanes; l += WIDTH) {
            floats x = NAME(load)(s + j + l), y = NAME(load)(maxima + l);
            ints larger_here = x > y;
            y = (floats)(((ints)x & larger_here) | ((ints)y & ~larger_here));
            memcpy(maxima + l, &y, sizeof y);
        }
    for (int64_t l = 0; j + l < m; ++l) maxima[l] = s[j + l] > maxima[l] ? s[j + l] : maxima[l];
    for (int64_t l = 0; l < lanes; l += WIDTH) {
        ints ranks = NAME(rank)(maxima, lanes, l);
        for (int t = 0; t < WIDTH; ++t)
            if (ranks[t] == k - 1) return maxima[l + t];
    }
    return -INFINITY;
}

/* Columns of the values that reach the bound, in ascending order, and the values; returns how many. */
INLINE int64_t NAME(keep)(const float *s, int64_t m, float bound, float *v, int32_t *column) {
    int64_t c = 0;
    for (int64_t j = 0; j < m; ++j) { /* no branch: most comparisons are unpredictable */
        v[c] = s[j];
        column[c] = (int32_t)j;
        c += s[j] >= bound;
    }
    return c;
}

/* Writes every step-th of the k largest, best first; the smaller column first where values tie. */
INLINE void NAME(rank_out)(float *v, const int32_t *column, int64_t c, int64_t k, int64_t step, int64_t *out) {
    int64_t padded = (c + WIDTH - 1) / WIDTH * WIDTH;
    for (int64_t i = c; i < padded; ++i) v[i] = -INFINITY;
    for (int64_t i = 0; i < c; i += WIDTH) {
        ints ranks = NAME(rank)(v, c, i);
        int64_t end = c - i < WIDTH ? c - i : WIDTH;
        for (int64_t t = 0; t < end; ++t)
            if (ranks[t] < k && ranks[t] % step == 0) out[ranks[t] / step] = column[i + t];
    }
}

INLINE void NAME(insert_out)(float *v, int32_t *column, int64_t c, int64_t k, int64_t step, int64_t *out) {
    for (int64_t i = 1; i < c; ++i) { /* the k best stay sorted at the front */
        float x = v[i];
        int32_t where = column[i];
        int64_t p = i < k ? i : k;
        if (p == k && !(x > v[k - 1])) continue;
        for (p = p < k ? p : k - 1; p > 0 && v[p - 1] < x; --p) {
            v[p] = v[p - 1];
            column[p] = column[p - 1];
        }
        v[p] = x;
        column[p] = where;
    }
    for (int64_t i = 0; i < k; i += step) out[i / step] = column[i];
}

static void NAME(best_of_row)(const float *s, int64_t *out, work *w) {
    float bound = w->lanes ? NAME(lower_bound)(s, w->m, w->k, w->lanes, w->maxima) : -INFINITY;
    int64_t c = NAME(keep)(s, w->m, bound, w->v, w->column);
    if (c <= MAX_RANKED)
        NAME(rank_out)(w->v, w->column, c, w->k, w->step, out);
    else
        NAME(insert_out)(w->v, w->column, c, w->k, w->step, out);
}
