/* The best of one row of scores. cpu.c includes this once for each kind of CPU: vectors are lowered for the
 * target of the function that holds them, so the target has to be known here.
 *
 * Values below a bound are dropped, twice; the few that stay are ranked against each other. Nothing branches on
 * values that cannot be foreseen. */

INLINE floats NAME(load)(const float *v) {
    floats x;
    memcpy(&x, v, sizeof x);
    return x;
}

/* The first lane that is true, WIDTH if none is. */
INLINE int NAME(first_true)(ints x) {
#ifdef COMPRESS
    return __builtin_ctz(_mm512_movepi32_mask((__m512i)x) | 1u << WIDTH);
#else
    int t = 0;
    while (t < WIDTH && !x[t]) ++t;
    return t;
#endif
}

/* Ranks of WIDTH values from v[first] on among n: how many are larger, or equal and earlier. Behind n, v continues to a
 * multiple of WIDTH with -INFINITY. */
INLINE ints NAME(rank)(const float *v, int64_t n, int64_t first) {
    floats x = NAME(load)(v + first);
    ints before = {0}, place;
    for (int t = 0; t < WIDTH; ++t) place[t] = t;
    /* all of them against one value at a time: no sum across a register; what holds is -1 */
    for (int64_t j = 0; j < first; ++j) before -= v[j] - (floats){0} >= x;
    for (int t = 0; t < WIDTH; ++t) {
        floats y = v[first + t] - (floats){0};
        before -= (y > x) | ((y == x) & (t < place));
    }
    for (int64_t j = first + WIDTH; j < n; ++j) before -= v[j] - (floats){0} > x;
    return before;
}

/* Larger of two values, lane by lane. */
INLINE floats NAME(larger)(floats x, floats y) {
    ints here = x > y;
    return (floats)(((ints)x & here) | ((ints)y & ~here));
}

/* A bound that at least k values of the row reach: the k-th largest of the maxima of `lanes` interleaved parts. */
INLINE float NAME(lower_bound)(const float *s, int64_t m, int64_t k, int64_t lanes, float *maxima) {
    int64_t whole = m / lanes * lanes;
    for (int64_t l = 0; l < lanes; l += WIDTH) {
        floats x = NAME(load)(s + l);
        for (int64_t j = l + lanes; j < whole; j += lanes) x = NAME(larger)(NAME(load)(s + j), x);
        memcpy(maxima + l, &x, sizeof x);
    }
    for (int64_t l = 0; whole + l < m; ++l) maxima[l] = s[whole + l] > maxima[l] ? s[whole + l] : maxima[l];
    /* The bound is a value that k values reach, itself included; of the largest such values, ties have more. */
    float bound = -INFINITY;
    for (int64_t l = 0; l < lanes; l += WIDTH) {
        floats x = NAME(load)(maxima + l);
        ints reach = {0};
        for (int64_t j = 0; j < lanes; ++j) reach -= maxima[j] - (floats){0} >= x;
        int t = NAME(first_true)(reach == (int32_t)k);
        if (t < WIDTH) return maxima[l + t];
        for (t = 0; t < WIDTH; ++t) bound = reach[t] >= k && maxima[l + t] > bound ? maxima[l + t] : bound;
    }
    return bound;
}

/* Moves the values that reach the bound, with their columns, to the front of v and column, order kept; returns how
 * many. Without `from` columns are counted. v may be s, and column may be `from`. */
INLINE int64_t NAME(keep)(const float *s, const int32_t *from, int64_t m, float bound, float *v, int32_t *column) {
    int64_t c = 0, j = 0;
#ifdef COMPRESS
    __m512i place = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    for (; j < m; j += WIDTH) {
        __mmask16 inside = m - j < WIDTH ? (__mmask16)((1u << (m - j)) - 1) : (__mmask16)-1;
        __m512 x = _mm512_maskz_loadu_ps(inside, s + j);
        __m512i here = from ? _mm512_maskz_loadu_epi32(inside, from + j) : _mm512_add_epi32(place, _mm512_set1_epi32((int)j));
        __mmask16 stays = _mm512_mask_cmp_ps_mask(inside, x, _mm512_set1_ps(bound), _CMP_GE_OQ);
        _mm512_storeu_ps(v + c, _mm512_maskz_compress_ps(stays, x));
        _mm512_storeu_si512(column + c, _mm512_maskz_compress_epi32(stays, here));
        c += __builtin_popcount(stays);
    }
#else
    for (; j < m; ++j) {
        float x = s[j];
        v[c] = x;
        column[c] = from ? from[j] : (int32_t)j;
        c += x >= bound;
    }
#endif
    return c;
}

/* How many of v[0..n), n a multiple of WIDTH, reach the bound. */
INLINE int64_t NAME(count)(const float *v, int64_t n, float bound) {
    int64_t count = 0;
#ifdef COMPRESS
    for (int64_t i = 0; i < n; i += WIDTH)
        count += __builtin_popcount(_mm512_cmp_ps_mask(_mm512_loadu_ps(v + i), _mm512_set1_ps(bound), _CMP_GE_OQ));
#else
    ints reach = {0};
    for (int64_t i = 0; i < n; i += WIDTH) reach -= NAME(load)(v + i) >= bound - (floats){0};
    for (int t = 0; t < WIDTH; ++t) count += reach[t];
#endif
    return count;
}

/* A bound that k of v[0..c) reach, c > WIDTH, and hardly more: halves the range of values that holds the k-th. Overwrites
 * what follows c, up to a multiple of WIDTH. */
INLINE float NAME(narrow)(float *v, int64_t c, int64_t k) {
    int64_t padded = (c + WIDTH - 1) / WIDTH * WIDTH;
    floats least = NAME(load)(v), most = least;
    float low = INFINITY, high = -INFINITY;
    for (int64_t i = WIDTH; i < c; i += WIDTH) {
        floats x = NAME(load)(v + (i + WIDTH <= c ? i : c - WIDTH));
        ints smaller = x < least;
        least = (floats)(((ints)x & smaller) | ((ints)least & ~smaller));
        most = NAME(larger)(x, most);
    }
    for (int t = 0; t < WIDTH; ++t) {
        low = least[t] < low ? least[t] : low;
        high = most[t] > high ? most[t] : high;
    }
    for (int64_t i = c; i < padded; ++i) v[i] = -INFINITY;
    for (int turn = 0; turn < 12 && c > k + WIDTH / 2; ++turn) {
        float middle = low + (high - low) / 2;
        int64_t count = NAME(count)(v, padded, middle);
        if (count >= k) {
            low = middle;
            c = count;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Writes every step-th of the k largest, best first; the smaller column first where values tie. */
INLINE void NAME(rank_out)(float *v, const int32_t *column, int64_t c, int64_t k, int64_t step, int64_t base, int64_t *out) {
    int32_t order[MAX_RANKED + WIDTH];
    int64_t padded = (c + WIDTH - 1) / WIDTH * WIDTH;
    for (int64_t i = c; i < padded; ++i) v[i] = -INFINITY;
    for (int64_t i = 0; i < c; i += WIDTH) {
        ints ranks = NAME(rank)(v, c, i);
        for (int t = 0; t < WIDTH; ++t) order[ranks[t]] = column[i + t]; /* those behind c rank behind them */
    }
    for (int64_t i = 0; i < k; i += step) *out++ = base + order[i];
}

INLINE void NAME(insert_out)(float *v, int32_t *column, int64_t c, int64_t k, int64_t step, int64_t base, int64_t *out) {
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
    for (int64_t i = 0; i < k; i += step) out[i / step] = base + column[i];
}

/* Every step-th of the k largest of s[0..m), best first, as columns from `base` on. Overwrites what follows m, up to a
 * multiple of WIDTH. */
INLINE void NAME(best_of_row)(float *s, int64_t m, int64_t k, int64_t step, int64_t base, int64_t *out, work *w) {
    int64_t lanes = WIDTH;
    while (lanes < k) lanes *= 2;
    int coarse = lanes == WIDTH ? m > WIDTH : lanes <= MAX_LANES && m >= 8 * lanes; /* else the bound drops too little */
    float bound = -INFINITY;
    if (coarse)
        bound = NAME(lower_bound)(s, m, k, lanes, w->maxima);
    else if (m > 2 * k + WIDTH)
        bound = NAME(narrow)(s, m, k);
    int64_t c = NAME(keep)(s, NULL, m, bound, w->v, w->column);
    if (coarse && c > 2 * k + WIDTH) c = NAME(keep)(w->v, w->column, c, NAME(narrow)(w->v, c, k), w->v, w->column);
    if (c <= MAX_RANKED)
        NAME(rank_out)(w->v, w->column, c, k, step, base, out);
    else
        NAME(insert_out)(w->v, w->column, c, k, step, base, out);
}
