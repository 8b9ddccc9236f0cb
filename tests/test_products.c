/*
 * Products with an operand that is too large to be copied as a whole: such a copy would be memory.
 * In halves, whose operands are copied, they give the same numbers.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <weft/inspect.h>
#include <weft/weft.h>

enum { LONG = 66000 };

typedef struct trial {
    int64_t m, n, k;
    bool ta, tb;
    bool by_rows; /* halves of m, else of k */
} trial;

static float *numbers(int64_t n)
{
    static uint32_t state = 7;
    float *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        x[i] = (float)(state >> 8) * 0x1p-23f - 1;
    }
    return x;
}

static wf_node *product(wf_node *a, wf_node *b, const trial *t)
{
    return t->ta ? wf_t_matmul(a, b) : t->tb ? wf_matmul_t(a, b) : wf_matmul(a, b);
}

static wf_node *in_halves(wf_node *a, wf_node *b, const trial *t)
{
    wf_node *y[2];
    for (int i = 0; i < 2; i++) {
        int64_t size = (t->by_rows ? t->m : t->k) / 2;
        int axis = t->ta ? (t->by_rows ? 1 : 0) : (t->by_rows ? 0 : 1);
        wf_node *part = wf_slice(a, axis, i * size, size);
        wf_node *of = t->by_rows ? b : wf_slice(b, t->tb ? 1 : 0, i * size, size);
        y[i] = product(part, of, t);
    }
    return t->by_rows ? wf_concat(2, y, 0) : wf_add(y[0], y[1]);
}

/* The result, and the memory of all values. */
static float *run(const trial *t, bool halves, const float *a, const float *b, size_t *plan)
{
    size_t size_a = (size_t)(t->m * t->k) * sizeof *a, size_b = (size_t)(t->k * t->n) * sizeof *b;
    size_t size_y = (size_t)(t->m * t->n) * sizeof *a;
    wf_graph *g = wf_graph_new();
    wf_runtime *rt = wf_runtime_new(NULL);
    wf_store *s = wf_store_new(1);
    wf_program *p = NULL;
    wf_shape shape_a = t->ta ? WF_SHAPE(t->k, t->m) : WF_SHAPE(t->m, t->k);
    wf_shape shape_b = t->tb ? WF_SHAPE(t->n, t->k) : WF_SHAPE(t->k, t->n);
    wf_node *x = wf_input(g, "a", WF_F32, shape_a), *z = wf_input(g, "b", WF_F32, shape_b);
    wf_output(halves ? in_halves(x, z, t) : product(x, z, t), "y");
    cr_assert_eq(wf_compile(&p, g, s, rt, NULL), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(p, "a", a, size_a), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_bind(p, "b", b, size_b), WF_OK, "%s", wf_error());
    cr_assert_eq(wf_run(p), WF_OK, "%s", wf_error());
    float *y = malloc(size_y);
    memcpy(y, wf_read(p, "y", NULL), size_y);
    *plan = wf_program_get_stats(p).plan_bytes;
    wf_program_free(p);
    wf_store_free(s);
    wf_runtime_free(rt);
    wf_graph_free(g);
    return y;
}

/* Sums of k terms below 1 whose order differs, at most. */
static void check(const trial *t)
{
    float *a = numbers(t->m * t->k), *b = numbers(t->k * t->n);
    size_t whole, halves;
    float *y = run(t, false, a, b, &whole), *z = run(t, true, a, b, &halves);
    size_t result = (size_t)(t->m * t->n) * sizeof *y;
    cr_expect_leq(whole, result + (1 << 17), "%zu bytes for a result of %zu", whole, result);
    /* rows are put together, which takes more memory than the copies */
    bool shows = t->by_rows || halves > result + (size_t)LONG * 64;
    cr_expect(shows, "halves are not copied: nothing is compared");
    for (int64_t i = 0; i < t->m * t->n; i++) {
        double most = t->by_rows ? 0 : 3e-6 * sqrt((double)t->k) * 8;
        cr_assert_leq(fabs((double)y[i] - (double)z[i]), most, "%lld: %g and %g", (long long)i,
                      (double)y[i], (double)z[i]);
    }
    free(a), free(b), free(y), free(z);
}

Test(products, a_long_right_operand_is_packed_where_it_is_used)
{
    check(&(trial){.m = 192, .n = 64, .k = LONG});
}

Test(products, a_long_transposed_right_operand_too)
{
    check(&(trial){.m = 192, .n = 64, .k = LONG, .tb = true});
}

Test(products, a_long_transposed_left_operand_is_turned_where_it_is_used)
{
    check(&(trial){.m = LONG, .n = 320, .k = 64, .ta = true, .by_rows = true});
}
