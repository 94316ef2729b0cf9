/* Each target beside its largest difference to a neighbor. cpu.c includes this once for each kind of CPU. */

/* Largest of WIDTH channels of the features at src, and which edge of the target has it; NaN wins. */
#define LARGEST(LOAD, TYPE)                                                            \
    floats best = LOAD((const TYPE *)g->src + g->source[first] * channels + c);         \
    ints winner = {0};                                                                 \
    for (int64_t e = first + 1; e < last; ++e) {                                       \
        floats x = LOAD((const TYPE *)g->src + g->source[e] * channels + c);            \
        ints better = (x > best) | (x != x);                                           \
        best = (floats)(((ints)x & better) | ((ints)best & ~better));                  \
        if (g->slot) winner = (((int32_t)(e - first) - (ints){0}) & better) | (winner & ~better); \
    }

INLINE void NAME(store_slots)(uint8_t *slot, ints winner) {
    bytes small = __builtin_convertvector(winner, bytes);
    memcpy(slot, &small, sizeof small);
}

INLINE void NAME(store_pairs)(float *out, floats x, floats y) {
#ifdef __clang__
    floats left = __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    floats right = __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#else
    ints low = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
    floats left = __builtin_shuffle(x, y, low), right = __builtin_shuffle(x, y, low + 8);
#endif
    memcpy(out, &left, sizeof left);
    memcpy(out + WIDTH, &right, sizeof right);
}

/* The last channels overlap those before, so that only widths below WIDTH need room of their own. */
static void NAME(max_relative)(const gather *g, int64_t start, int64_t end) {
    int64_t channels = g->channels;
    for (int64_t i = start; i < end; ++i) {
        int64_t first = g->first[i], last = g->first[i + 1];
        const float *dst = (const float *)g->dst + i * channels;
        float *out = (float *)g->out + 2 * i * channels;
        for (int64_t c = 0; c < channels; c = c + WIDTH < channels && c + 2 * WIDTH > channels ? channels - WIDTH : c + WIDTH) {
            floats x = NAME(load)(dst + c);
            if (first == last) {
                NAME(store_pairs)(out + 2 * c, x, (floats){0});
                if (g->slot) NAME(store_slots)(g->slot + i * channels + c, (ints){0});
                continue;
            }
            LARGEST(NAME(load), float)
            NAME(store_pairs)(out + 2 * c, x, best - x);
            if (g->slot) NAME(store_slots)(g->slot + i * channels + c, winner);
        }
    }
}

static void NAME(max_relative_half)(const gather *g, int64_t start, int64_t end) {
    int64_t channels = g->channels;
    for (int64_t i = start; i < end; ++i) {
        int64_t first = g->first[i], last = g->first[i + 1];
        const uint16_t *dst = (const uint16_t *)g->dst + i * channels;
        uint16_t *out = (uint16_t *)g->out + 2 * i * channels;
        for (int64_t c = 0; c < channels; c = c + WIDTH < channels && c + 2 * WIDTH > channels ? channels - WIDTH : c + WIDTH) {
            floats x = NAME(load_half)(dst + c);
            bits pair = (bits)x >> 16;
            if (first < last) {
                LARGEST(NAME(load_half), uint16_t)
                pair |= NAME(round_half)(best - x);
                if (g->slot) NAME(store_slots)(g->slot + i * channels + c, winner);
            } else if (g->slot) {
                NAME(store_slots)(g->slot + i * channels + c, (ints){0});
            }
            memcpy(out + 2 * c, &pair, sizeof pair);
        }
    }
}

#undef LARGEST

/* Where nobody asks which edge has the largest difference, features in bfloat16 are compared as whole numbers, twice as
 * many at once: negative values are turned over, and NaN becomes the largest number. */
INLINE shorts NAME(turned)(shorts x) {
    return x ^ ((x >> 15) & 0x7fff);
}

static void NAME(max_relative_keys)(const uint16_t *src, int64_t start, int64_t end, int16_t *keys) {
    for (int64_t i = start; i < end; i += KEYS) {
        int64_t count = end - i < KEYS ? end - i : KEYS;
        shorts x = {0};
        memcpy(&x, src + i, (size_t)count * sizeof *src);
        shorts nan = (x & 0x7fff) > 0x7f80;
        x = (NAME(turned)(x) & ~nan) | (0x7fff & nan);
        memcpy(keys + i, &x, (size_t)count * sizeof *keys);
    }
}

INLINE shorts NAME(larger_keys)(shorts x, const int16_t *v) {
    shorts y;
    memcpy(&y, v, sizeof y);
#ifdef COMPRESS
    return (shorts)_mm512_max_epi16((__m512i)x, (__m512i)y);
#else
    shorts larger = y > x;
    return (y & larger) | (x & ~larger);
#endif
}

/* The last channels overlap those before: there are at least KEYS. */
static void NAME(max_relative_of_keys)(const gather *g, const int16_t *keys, int64_t start, int64_t end) {
    int64_t channels = g->channels;
    for (int64_t i = start; i < end; ++i) {
        int64_t first = g->first[i], last = g->first[i + 1];
        const uint16_t *dst = (const uint16_t *)g->dst + i * channels;
        uint16_t *out = (uint16_t *)g->out + 2 * i * channels;
        for (int64_t c = 0; c < channels; c = c + KEYS < channels && c + 2 * KEYS > channels ? channels - KEYS : c + KEYS) {
            shorts best = {0};
            if (first < last) memcpy(&best, keys + g->source[first] * channels + c, sizeof best);
            for (int64_t e = first + 1; e < last; ++e) best = NAME(larger_keys)(best, keys + g->source[e] * channels + c);
            best = NAME(turned)(best);
            for (int64_t half = 0; half < KEYS; half += WIDTH) {
                halves largest;
                memcpy(&largest, (const uint16_t *)&best + half, sizeof largest);
                floats x = NAME(load_half)(dst + c + half);
                bits pair = (bits)x >> 16;
                if (first < last) pair |= NAME(round_half)(NAME(widen)(largest) - x);
                memcpy(out + 2 * (c + half), &pair, sizeof pair);
            }
        }
    }
}
