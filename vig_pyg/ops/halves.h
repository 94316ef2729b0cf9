/* Values in bfloat16, the upper halves of float32. cpu.c includes this once for each kind of CPU. */

INLINE floats NAME(widen)(halves x) {
#ifdef COMPRESS /* GCC's own conversion goes through two smaller registers */
    return (floats)_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)x), 16);
#else
    return (floats)(__builtin_convertvector(x, bits) << 16);
#endif
}

INLINE floats NAME(load_half)(const uint16_t *v) {
    halves x;
    memcpy(&x, v, sizeof x);
    return NAME(widen)(x);
}

/* Nearest bfloat16 of each value, ties to even, in the upper half. */
INLINE bits NAME(round_half)(floats x) {
    bits b = (bits)x, rounded = (b + 0x7fff + ((b >> 16) & 1)) & 0xffff0000u, nan = (bits)(x != x);
    return (rounded & ~nan) | (((bits){0} + 0x7fc00000u) & nan);
}

/* The same as halves. */
INLINE halves NAME(narrow_half)(floats x) {
#ifdef COMPRESS
    __m512i b = (__m512i)x, odd = _mm512_and_si512(_mm512_srli_epi32(b, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(b, odd), _mm512_set1_epi32(0x7fff)), 16);
    __mmask16 nan = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
    return (halves)_mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0)));
#else
    return __builtin_convertvector(NAME(round_half)(x) >> 16, halves);
#endif
}
