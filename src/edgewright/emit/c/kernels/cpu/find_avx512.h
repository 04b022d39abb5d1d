/* Where eight windows see the input, with AVX-512: a pointer in each lane. */
#ifndef EW_FIND_AVX512_H
#define EW_FIND_AVX512_H

/* Bit p: window p reaches beyond the picture. */
static inline uint32_t ew_windows_outside(const struct ew_window *window, const struct ew_corners *corners)
{
    const int32_t bottom = window->input_height - (window->kernel_height - 1) * window->dilation_height;
    const int32_t right = window->input_width - (window->kernel_width - 1) * window->dilation_width;
    const __m256i top = _mm256_loadu_si256((const __m256i *)(const void *)corners->top);
    const __m256i left = _mm256_loadu_si256((const __m256i *)(const void *)corners->left);

    /* Without a sign, what is below 0 is above everything. */
    if (bottom <= 0 || right <= 0) {
        return 0xFF;
    }
    return (uint32_t)(_mm256_cmpge_epu32_mask(top, _mm256_set1_epi32(bottom)) | _mm256_cmpge_epu32_mask(left, _mm256_set1_epi32(right)));
}

/* input + (y * input_width + x) * input_channels. */
static inline __m512i ew_addresses(const struct ew_window *window, const int8_t *input, __m256i y, __m256i x)
{
    const __m256i pixel = _mm256_add_epi32(_mm256_mullo_epi32(y, _mm256_set1_epi32(window->input_width)), x);
    const __m256i offset = _mm256_mullo_epi32(pixel, _mm256_set1_epi32(window->input_channels));

    return _mm512_add_epi64(_mm512_cvtepi32_epi64(offset), _mm512_set1_epi64((int64_t)(intptr_t)input));
}

/* The rows of windows within the picture, eight pointers each. */
static inline void ew_find_rows(const struct ew_window *window, const struct ew_corners *corners, const int8_t *input, const int8_t **first)
{
    const __m256i top = _mm256_loadu_si256((const __m256i *)(const void *)corners->top);
    const __m256i left = _mm256_loadu_si256((const __m256i *)(const void *)corners->left);
    const __m512i row = _mm512_set1_epi64((int64_t)window->dilation_height * window->input_width * window->input_channels);
    __m512i addresses = ew_addresses(window, input, top, left);

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        _mm512_storeu_si512(first + EW_POSITIONS * ky, addresses);
        addresses = _mm512_add_epi64(addresses, row);
    }
}

/* The pixels of windows, eight pointers each; `fill` beyond the picture. */
static inline void ew_find_pixels(const struct ew_window *window, const struct ew_corners *corners, const int8_t *input, const int8_t *fill,
                                  const int8_t **first)
{
    const __m256i height = _mm256_set1_epi32(window->input_height), width = _mm256_set1_epi32(window->input_width);
    const __m256i down = _mm256_set1_epi32(window->dilation_height), aside = _mm256_set1_epi32(window->dilation_width);
    const __m512i step = _mm512_set1_epi64((int64_t)window->dilation_width * window->input_channels);
    const __m512i beyond = _mm512_set1_epi64((int64_t)(intptr_t)fill);
    __m256i y = _mm256_loadu_si256((const __m256i *)(const void *)corners->top);

    for (int32_t ky = 0; ky < window->kernel_height; ky++) {
        const __mmask8 within = _mm256_cmplt_epu32_mask(y, height);
        __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)corners->left);
        __m512i addresses = ew_addresses(window, input, y, x);

        for (int32_t kx = 0; kx < window->kernel_width; kx++) {
            _mm512_storeu_si512(first, _mm512_mask_mov_epi64(beyond, _mm256_mask_cmplt_epu32_mask(within, x, width), addresses));
            first += EW_POSITIONS;
            x = _mm256_add_epi32(x, aside);
            addresses = _mm512_add_epi64(addresses, step);
        }
        y = _mm256_add_epi32(y, down);
    }
}

#endif
