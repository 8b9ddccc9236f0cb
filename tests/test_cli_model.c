/* Model files that are not what the model needs: the file and the tensor are named. */
#define _GNU_SOURCE
#include "tests/cli.h"

TestSuite(cli_model, .init = setup, .fini = teardown, .timeout = 60);

#define KERNEL "layer_0/gau/i_dense/kernel"

/* Copy a file of tensors without one (or NULL), and with one of shape [3] (or NULL). */
static void change(const char *from, const char *to, const char *without, const char *with)
{
    char prefix[100];
    const float three[3] = {1, 2, 3};
    for (int i = 0; i < 2; i++) { /* first what goes, then what comes */
        wf_store *s = wf_store_new(0);
        cr_assert_eq(wf_store_load(s, path_of(i == 0 ? from : to)), WF_OK, "%s", wf_error());
        snprintf(prefix, sizeof prefix, "!%s", without ? without : "?");
        if (i == 1 && with) cr_assert_eq(wf_store_put(s, with, WF_F32, WF_SHAPE(3), three), WF_OK);
        cr_assert_eq(wf_store_save(s, path_of(to), i == 0 ? prefix : NULL), WF_OK, "%s",
                     wf_error());
        wf_store_free(s);
    }
}

static const struct {
    const char *without, *with, *says;
} changes[] = {
    {NULL, "layer_1/gau/gamma", "unexpected tensor 'layer_1/gau/gamma'"},
    {KERNEL, NULL, "expected a tensor '" KERNEL "'"},
    {KERNEL, KERNEL, KERNEL ": the store holds f32 "},
};

enum { CHANGES = sizeof changes / sizeof *changes };

/* The line must say both. */
static void expect_named(const char *line, const char *file, const char *says)
{
    expect_wrong(&(wrong){line, 1, file});
    expect_wrong(&(wrong){line, 1, says});
}

Test(cli_model, fill_and_init_name_the_tensor_that_is_wrong)
{
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --out new").code, 0);
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --out old").code, 0);
    for (int i = 0; i < CHANGES; i++) {
        change("new/model.safetensors", "old/model.safetensors", changes[i].without,
               changes[i].with);
        expect_named("gau fill --model old a[MASK]", "old/model.safetensors: ", changes[i].says);
        expect_named(TRAIN "--text text.txt --init old/model.safetensors",
                     "old/model.safetensors: ", changes[i].says);
    }
    change("new/model.safetensors", "old/model.safetensors", NULL, NULL);
    outcome o = weft("gau fill --model old a[MASK]");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
    o = weft(TRAIN "--text text.txt --init new/checkpoint.safetensors --steps 1");
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
}

Test(cli_model, resume_names_the_tensor_that_is_wrong)
{
#define RESUME TRAIN "--text text.txt --steps 3 --out old --resume"
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --out new").code, 0);
    cr_expect_eq(weft(TRAIN "--text text.txt --steps 1 --out old").code, 0);
    for (int i = 0; i < CHANGES; i++) {
        change("new/checkpoint.safetensors", "old/checkpoint.safetensors", changes[i].without,
               changes[i].with);
        expect_named(RESUME, "old/checkpoint.safetensors: ", changes[i].says);
    }
    change("new/checkpoint.safetensors", "old/checkpoint.safetensors", NULL,
           "opt/lion/" KERNEL "/momentum");
    expect_named(RESUME, "old/checkpoint.safetensors: ", "unexpected tensor 'opt/lion/" KERNEL);
    change("new/checkpoint.safetensors", "old/checkpoint.safetensors", NULL, NULL);
    outcome o = weft(RESUME);
    cr_expect_eq(o.code, 0, "code %d: %s", o.code, o.err);
#undef RESUME
}
