/* Batch norm over nodes, and GELU behind it where asked for, forward and backward, channels a multiple of
 * half of WIDTH. cpu.c includes this once for each kind of CPU. Nothing but the map's result is read: what lies between is computed again. */

#define BLOCK 16 /* rows whose sums are taken in float32 before they are added in float64 */

/* exp(-u) for u >= 0: exp(-u) = 2^n e^r with |r| <= ln(2) / 2, e^r by its series. */
INLINE floats NAME(exp_minus)(floats u) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    ints far = u > 87.0f - (floats){0};
    u = (floats)(((ints)u & ~far) | ((ints)(87.0f - (floats){0}) & far));
    floats shifted = magic - u * 1.44269504f, n = shifted - magic;
    floats r = -u - n * 0.693145752f; /* ln 2 in two parts, the first exact in few bits */
    r -= n * 1.42860677e-6f;
    floats p = 1.0f / 720 * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return (floats)((ints)p + (((ints)shifted - 0x4b400000) << 23));
}

/* The normal distribution below z and its density: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26,
 * error below 1.5e-7. */
INLINE floats NAME(normal)(floats z, floats *density) {
    floats y = z * 0.707106781f, distance = (floats)((ints)y & 0x7fffffff), e = NAME(exp_minus)(y * y);
    floats t = 1.0f / (1.0f + 0.3275911f * distance);
    floats p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    floats tail = 0.5f * p * e; /* beyond |z| */
    ints negative = z < (floats){0};
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

/* Adds the sums over rows of a block to sums in float64; behind the last channel it adds zeros. */
INLINE void NAME(add_sums)(double *to, floats sums) {
    for (int t = 0; t < WIDTH; ++t) to[t] += sums[t];
}

/* Sums of rows start .. end - 1 about the first row of all, and of their squares. */
static void NAME(norm_sums)(const float *h, int64_t start, int64_t end, int64_t c, double *sums, double *squares) {
    for (int64_t first = start; first < end; first += BLOCK) {
        int64_t last = first + BLOCK < end ? first + BLOCK : end;
        for (int64_t j = 0; j < c; j += WIDTH) {
            int half = j + WIDTH > c;
            floats pivot = NAME(take)(h + j, half), sum = {0}, square = {0};
            for (int64_t i = first; i < last; ++i) {
                floats d = NAME(take)(h + i * c + j, half) - pivot;
                sum += d;
                square += d * d;
            }
            NAME(add_sums)(sums + j, sum);
            NAME(add_sums)(squares + j, square);
        }
    }
}

INLINE void NAME(apply_rows)(const float *h, int64_t start, int64_t end, int64_t c, int gelu, const float *scale,
                             const float *shift, float *out) {
    for (int64_t i = start; i < end; ++i)
        for (int64_t j = 0; j < c; j += WIDTH) {
            int half = j + WIDTH > c;
            floats a = NAME(take)(scale + j, half), b = NAME(take)(shift + j, half), density;
            floats z = NAME(take)(h + i * c + j, half) * a + b;
            if (gelu) z *= NAME(normal)(z, &density);
            NAME(put)(out + i * c + j, z, half);
        }
}

/* out = scale h + shift, or its GELU; out may be h. */
static void NAME(norm_apply)(const float *h, int64_t start, int64_t end, int64_t c, int gelu, const float *scale,
                             const float *shift, float *out) {
    if (gelu)
        NAME(apply_rows)(h, start, end, c, 1, scale, shift, out);
    else
        NAME(apply_rows)(h, start, end, c, 0, scale, shift, out);
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

INLINE void NAME(backward_rows)(float *g, const float *h, int64_t start, int64_t end, int64_t c, int gelu,
                                const float *scale, const float *shift, double *sums, double *products) {
    for (int64_t first = start; first < end; first += BLOCK) {
        int64_t last = first + BLOCK < end ? first + BLOCK : end;
        for (int64_t j = 0; j < c; j += WIDTH) {
            int half = j + WIDTH > c;
            floats pivot = NAME(take)(h + j, half), a = NAME(take)(scale + j, half), b = NAME(take)(shift + j, half);
            floats sum = {0}, product = {0};
            for (int64_t i = first; i < last; ++i) {
                floats x = NAME(take)(h + i * c + j, half), dz = NAME(take)(g + i * c + j, half);
                if (gelu) {
                    floats z = x * a + b, density, below = NAME(normal)(z, &density);
                    dz *= below + z * density;
                    NAME(put)(g + i * c + j, dz, half);
                }
                sum += dz;
                product += dz * (x - pivot);
            }
            NAME(add_sums)(sums + j, sum);
            NAME(add_sums)(products + j, product);
        }
    }
}

/* The gradient g becomes that of z = scale h + shift; its sums, and those of its products with h about the first row. */
static void NAME(norm_backward)(float *g, const float *h, int64_t start, int64_t end, int64_t c, int gelu,
                                const float *scale, const float *shift, double *sums, double *products) {
    if (gelu)
        NAME(backward_rows)(g, h, start, end, c, 1, scale, shift, sums, products);
    else
        NAME(backward_rows)(g, h, start, end, c, 0, scale, shift, sums, products);
}

/* g = a g + b + c h, channel by channel. */
static void NAME(affine)(float *g, const float *h, int64_t start, int64_t end, int64_t channels, const float *a,
                         const float *b, const float *c) {
    for (int64_t i = start; i < end; ++i)
        for (int64_t j = 0; j < channels; j += WIDTH) {
            int half = j + WIDTH > channels;
            int64_t at = i * channels + j;
            floats x = NAME(take)(g + at, half) * NAME(take)(a + j, half) + NAME(take)(b + j, half);
            x += NAME(take)(h + at, half) * NAME(take)(c + j, half);
            NAME(put)(g + at, x, half);
        }
}

#undef BLOCK
