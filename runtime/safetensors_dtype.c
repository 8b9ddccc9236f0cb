/* Element types of safetensors files, and how the others become those that a store holds. */
#include "runtime/safetensors.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold little-endian numbers");

/* IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 of fraction. */
static float from_f16(uint16_t h)
{
    uint32_t exponent = h >> 10 & 31, fraction = h & 1023, bits;
    if (exponent == 0) { /* zero and subnormals: fraction * 2^-24, exact in float */
        float y = (float)fraction * 0x1p-24f;
        return h >> 15 ? -y : y;
    }
    exponent = exponent == 31 ? 255 : exponent + 112;
    bits = (uint32_t)(h >> 15) << 31 | exponent << 23 | fraction << 13;
    float y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

static bool convert_f16(void *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, (const char *)x + 2 * i, sizeof h);
        ((float *)y)[i] = from_f16(h);
    }
    return true;
}

static bool convert_bf16(void *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++) { /* the upper half of a float */
        uint16_t h;
        memcpy(&h, (const char *)x + 2 * i, sizeof h);
        uint32_t bits = (uint32_t)h << 16;
        memcpy((float *)y + i, &bits, sizeof bits);
    }
    return true;
}

static bool convert_f64(void *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double d;
        memcpy(&d, (const char *)x + 8 * i, sizeof d);
        ((float *)y)[i] = (float)d;
    }
    return true;
}

static bool convert_i64(void *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int64_t v;
        memcpy(&v, (const char *)x + 8 * i, sizeof v);
        if (v < INT32_MIN || v > INT32_MAX) return false;
        ((int32_t *)y)[i] = (int32_t)v;
    }
    return true;
}

const wf_st_dtype *wf_st_dtype_find(const char *name)
{
    static const wf_st_dtype dtypes[] = {
        {"F32", 4, WF_F32, NULL},
        {"I32", 4, WF_I32, NULL},
        {"U8", 1, WF_U8, NULL},
        {"F16", 2, WF_F32, convert_f16},
        {"BF16", 2, WF_F32, convert_bf16},
        {"F64", 8, WF_F32, convert_f64},
        {"I64", 8, WF_I32, convert_i64},
    };
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(dtypes[i].name, name)) return &dtypes[i];
    return NULL;
}
