/* Batch norm over nodes, and GELU behind it where asked for, forward and backward, channels a multiple of
 * half of WIDTH, in float32 or, where `low`, in bfloat16; sums and factors are float32. cpu.c includes this once for each
 * kind of CPU. Nothing but the map's result is read: what lies between is computed again. */

#define BLOCK 16 /* rows whose sums are taken in float32 before they are added in float64 */

/* exp(-u) for u >= 0: exp(-u) = 2^n e^r with |r| <= ln(2) / 2, e^r by its series. */
INLINE floats NAME(exp_minus)(floats u) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    ints far = u > 87.0f - (floats){0};
    u = (floats)(((ints)u & ~far) | ((ints)(87.0f - (floats){0}) & far));
    floats shifted = magic - u * 1.44269504f, n = shifted - magic;
    floats r = -u - n * 0.693145752f; /* ln 2 in two parts, the first exact in few bits */
    r -= n * 1.42860677e-6f;
    floats r2 = r * r; /* pairs of terms, which processors compute at the same time */
    floats p = (1.0f + r) + r2 * ((0.5f + 1.0f / 6 * r) + r2 * ((1.0f / 24 + 1.0f / 120 * r) + r2 * (1.0f / 720)));
    return (floats)((ints)p + (((ints)shifted - 0x4b400000) << 23));
}

/* The normal distribution below z and its density: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26,
 * error below 1.5e-7. */
INLINE floats NAME(normal)(floats z, floats *density) {
    floats y = z * 0.707106781f, distance = (floats)((ints)y & 0x7fffffff), e = NAME(exp_minus)(y * y);
    floats t = 1.0f / (1.0f + 0.3275911f * distance);
    floats t2 = t * t, half_e = 0.5f * e * t;
    floats p = (0.254829592f - 0.284496736f * t) + t2 * ((1.421413741f - 1.453152027f * t) + t2 * 1.061405429f);
    floats tail = p * half_e; /* beyond |z| */
    ints negative = (ints)z >> 31; /* all bits, where the sign is set */
    *density = e * 0.398942280f;
    return (floats)(((ints)tail & negative) | ((ints)(1.0f - tail) & ~negative));
}

/* A step's values, or at the end of the channels its first half, with zeros behind. */
INLINE floats NAME(take)(const float *from, int half) {
    floats x = {0};
    if (half)
        memcpy(&x, from, sizeof x / 2);
    else
        memcpy(&x, from, sizeof x);
    return x;
}

INLINE void NAME(put)(float *to, floats x, int half) {
    if (half)
        memcpy(to, &x, sizeof x / 2);
    else
        memcpy(to, &x, sizeof x);
}

/* The same for features, from index `at`. */
INLINE floats NAME(get)(const void *from, int64_t at, int low, int half) {
    if (!low) return NAME(take)((const float *)from + at, half);
    halves x = {0};
    if (half)
        memcpy(&x, (const uint16_t *)from + at, sizeof x / 2);
    else
        memcpy(&x, (const uint16_t *)from + at, sizeof x);
    return NAME(widen)(x);
}

INLINE void NAME(set)(void *to, int64_t at, floats x, int low, int half) {
    if (!low) {
        NAME(put)((float *)to + at, x, half);
        return;
    }
    halves nearest = NAME(narrow_half)(x);
    if (half)
        memcpy((uint16_t *)to + at, &nearest, sizeof nearest / 2);
    else
        memcpy((uint16_t *)to + at, &nearest, sizeof nearest);
}

/* Asks for the same features of the next block: a block goes down the rows, which processors do not foresee. */
INLINE void NAME(fetch)(const void *from, int64_t at, int low) {
    __builtin_prefetch((const char *)from + at * (low ? 2 : 4));
}

/* Adds the sums over rows of a block to sums in float64; behind the last channel it adds zeros. */
INLINE void NAME(add_sums)(double *to, floats sums) {
    for (int t = 0; t < WIDTH; ++t) to[t] += sums[t];
}

INLINE void NAME(sum_rows)(const void *h, int64_t start, int64_t end, int64_t c, int low, double *sums,
                           double *squares) {
    for (int64_t first = start; first < end; first += BLOCK) {
        int64_t last = first + BLOCK < end ? first + BLOCK : end;
        for (int64_t j = 0; j < c; j += WIDTH) {
            int half = j + WIDTH > c;
            floats pivot = NAME(get)(h, j, low, half), sum = {0}, square = {0};
            for (int64_t i = first; i < last; ++i) {
                NAME(fetch)(h, (i + BLOCK) * c + j, low);
                floats d = NAME(get)(h, i * c + j, low, half) - pivot;
                sum += d;
                square += d * d;
            }
            NAME(add_sums)(sums + j, sum);
            NAME(add_sums)(squares + j, square);
        }
    }
}

/* Sums of rows start .. end - 1 about the first row of all, and of their squares. */
static void NAME(norm_sums)(const void *h, int64_t start, int64_t end, int64_t c, int low, double *sums,
                            double *squares) {
    if (low)
        NAME(sum_rows)(h, start, end, c, 1, sums, squares);
    else
        NAME(sum_rows)(h, start, end, c, 0, sums, squares);
}

INLINE void NAME(apply_rows)(const void *h, int64_t start, int64_t end, int64_t c, int low, int low_out, int gelu,
                             const float *scale, const float *shift, const void *residual, void *out) {
    for (int64_t i = start; i < end; ++i)
        for (int64_t j = 0; j < c; j += WIDTH) {
            int half = j + WIDTH > c;
            floats a = NAME(take)(scale + j, half), b = NAME(take)(shift + j, half), density;
            floats z = NAME(get)(h, i * c + j, low, half) * a + b;
            if (gelu) z *= NAME(normal)(z, &density);
            if (residual) z += NAME(get)(residual, i * c + j, low_out, half);
            NAME(set)(out, i * c + j, z, low_out, half);
        }
}

/* Calls a function with constants for the type of h, for another type, which is float32 where h is, and for `gelu`:
 * each case is compiled without branches. */
#define EACH_CASE(OTHER)                 \
    if (!low)                            \
        gelu ? CALL(0, 0, 1) : CALL(0, 0, 0); \
    else if (OTHER)                      \
        gelu ? CALL(1, 1, 1) : CALL(1, 1, 0); \
    else                                 \
        gelu ? CALL(1, 0, 1) : CALL(1, 0, 0);

/* out = scale h + shift, or its GELU, plus the residual where there is one; out may be h or the residual. */
static void NAME(norm_apply)(const void *h, int64_t start, int64_t end, int64_t c, int low, int low_out, int gelu,
                             const float *scale, const float *shift, const void *residual, void *out) {
#define CALL(LOW, OUT, GELU) NAME(apply_rows)(h, start, end, c, LOW, OUT, GELU, scale, shift, residual, out)
    EACH_CASE(low_out)
#undef CALL
}

/* out = GELU(scale h + shift), and h becomes its slope by what is within. */
static void NAME(norm_slope)(float *h, int64_t start, int64_t end, int64_t c, const float *scale, const float *shift,
                             float *out) {
    for (int64_t i = start; i < end; ++i)
        for (int64_t j = 0; j < c; j += WIDTH) {
            int half = j + WIDTH > c;
            floats a = NAME(take)(scale + j, half), b = NAME(take)(shift + j, half), density;
            floats z = NAME(take)(h + i * c + j, half) * a + b;
            floats below = NAME(normal)(z, &density), y = z * below, slope = below + z * density;
            NAME(put)(out + i * c + j, y, half);
            NAME(put)(h + i * c + j, slope, half);
        }
}

INLINE void NAME(backward_rows)(const void *g, const void *h, int64_t start, int64_t end, int64_t c, int low,
                                int low_g, int gelu, const float *scale, const float *shift, void *out, double *sums,
                                double *products) {
    for (int64_t first = start; first < end; first += BLOCK) {
        int64_t last = first + BLOCK < end ? first + BLOCK : end;
        for (int64_t j = 0; j < c; j += WIDTH) {
            int half = j + WIDTH > c;
            floats a = NAME(take)(scale + j, half), b = NAME(take)(shift + j, half);
            floats pivot = NAME(get)(h, j, low, half), sum = {0}, product = {0};
            for (int64_t i = first; i < last; ++i) {
                int64_t at = i * c + j;
                NAME(fetch)(h, at + BLOCK * c, low);
                NAME(fetch)(g, at + BLOCK * c, low_g);
                floats x = NAME(get)(h, at, low, half), dz = NAME(get)(g, at, low_g, half);
                if (gelu) {
                    floats z = x * a + b, density, below = NAME(normal)(z, &density);
                    dz *= below + z * density;
                    NAME(set)(out, at, dz, low, half);
                }
                sum += dz;
                product += dz * (x - pivot);
            }
            NAME(add_sums)(sums + j, sum);
            NAME(add_sums)(products + j, product);
        }
    }
}

/* From the gradient g that of z = scale h + shift, written to `out` behind GELU, where it differs; its sums, and those of
 * its products with h about the first row. */
static void NAME(norm_backward)(const void *g, const void *h, int64_t start, int64_t end, int64_t c, int low, int low_g,
                                int gelu, const float *scale, const float *shift, void *out, double *sums,
                                double *products) {
#define CALL(LOW, G, GELU) NAME(backward_rows)(g, h, start, end, c, LOW, G, GELU, scale, shift, out, sums, products)
    EACH_CASE(low_g)
#undef CALL
}

INLINE void NAME(affine_rows)(const void *g, const void *h, int64_t start, int64_t end, int64_t channels, int low,
                              int low_g, const float *a, const float *b, const float *c, void *out) {
    for (int64_t i = start; i < end; ++i)
        for (int64_t j = 0; j < channels; j += WIDTH) {
            int half = j + WIDTH > channels;
            int64_t at = i * channels + j;
            floats x = NAME(get)(g, at, low_g, half) * NAME(take)(a + j, half) + NAME(take)(b + j, half);
            x += NAME(get)(h, at, low, half) * NAME(take)(c + j, half);
            NAME(set)(out, at, x, low, half);
        }
}

/* out = a g + b + c h, channel by channel; out may be g. */
static void NAME(affine)(const void *g, const void *h, int64_t start, int64_t end, int64_t channels, int low, int low_g,
                         const float *a, const float *b, const float *c, void *out) {
    int gelu = 0;
#define CALL(LOW, G, GELU) NAME(affine_rows)(g, h, start, end, channels, LOW, G, a, b, c, out)
    EACH_CASE(low_g)
#undef CALL
}

#undef EACH_CASE
#undef BLOCK
