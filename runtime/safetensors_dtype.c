/* Element types of safetensors files, and how the others become those that a store holds. */
#include "runtime/safetensors.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files hold little-endian numbers");

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
        {"F32", 4, WF_F32, NULL},        {"I32", 4, WF_I32, NULL},
        {"U8", 1, WF_U8, NULL},          {"F16", 2, WF_F16, NULL},
        {"BF16", 2, WF_BF16, NULL},      {"F64", 8, WF_F32, convert_f64},
        {"I64", 8, WF_I32, convert_i64},
    };
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (!strcmp(dtypes[i].name, name)) return &dtypes[i];
    return NULL;
}
