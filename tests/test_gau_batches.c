/* A GAU language model on batches: packed and padded ones are equal, a token acts on what may see
 * it alone, dropout is the identity where it should be and drawn from the seed. */
#define _GNU_SOURCE
#include "gau_model.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const wf_gau_norm norms[] = {WF_GAU_SOFTMAX, WF_GAU_SOFTMAX_PLUS, WF_GAU_RELU2};
static const int32_t lengths[] = {70, 1, 33, 64};
enum { ROWS = COUNT(lengths), VOCAB = 50, WIDTH = 24, SEED = 11 };

static wf_gau_config small_model(wf_gau_norm norm, bool causal)
{
    return (wf_gau_config){.layers = 2,
                           .width = WIDTH,
                           .expand = 48,
                           .key = 16,
                           .vocab = VOCAB,
                           .norm = norm,
                           .min_len = 4,
                           .eps = 1e-12f,
                           .causal = causal};
}

/* ---- packed against padded ---- */

static void compare(const trial *a, const model_batch *ab, const trial *b, const model_batch *bb,
                    const char *what)
{
    const char *name;
    int64_t n;
    for (int64_t i = 0; i < ab->picked; i++) {
        double d = distance(read_output(a, "x") + ab->picks[i] * WIDTH,
                            read_output(b, "x") + bb->picks[i] * WIDTH, WIDTH);
        cr_expect_leq(d, 1e-5, "%s: token %d differs by %g", what, (int)i, d);
        cr_expect_float_eq(read_output(a, "rows")[i], read_output(b, "rows")[i], 1e-5f,
                           "%s: loss of token %d", what, (int)i);
    }
    cr_expect_float_eq(wf_scalar(a->p, "loss"), wf_scalar(b->p, "loss"), 1e-5f, "%s: loss", what);
    for (int i = 0; (name = model_parameter(a, i, &n)); i++) {
        double d = distance(model_gradient(a, name), model_gradient(b, name), n);
        cr_expect_leq(d, 1e-5, "%s: gradient of %s differs by %g", what, name, d);
    }
}

/* Short sequences are taken at once in a batch that is little enough (gau_plan.c): here in all but
 * the wide padded one, which goes through all phases with one block a sequence. */
Test(gau_batches, packed_equals_padded_token_for_token)
{
    for (size_t i = 0; i < COUNT(norms) * 8; i++) {
        wf_gau_config c = small_model(norms[i / 8], i % 4 / 2);
        static const int32_t within_a_block[ROWS] = {60, 1, 33, 64};
        const int32_t *of = i % 8 / 4 ? within_a_block : lengths;
        if (of == within_a_block) c.expand = 300;
        int64_t spare = i % 2 ? 9 : 0; /* 0: filled to the last token */
        char what[60];
        snprintf(what, sizeof what, "%s causal %d spare %d expand %d", wf_gau_norm_name(c.norm),
                 c.causal, (int)spare, (int)c.expand);
        model_batch packed = batch_of(ROWS, of, false, spare, VOCAB, 0),
                    padded = batch_of(ROWS, of, true, 0, VOCAB, 0);
        trial a = model_start(&c, &packed, false, SEED), b = model_start(&c, &padded, false, SEED);
        model_run(&a, &packed);
        model_run(&b, &padded);
        compare(&a, &packed, &b, &padded, what);
        end(&a);
        end(&b);
    }
}

/* ---- who acts on whom ---- */

Test(gau_batches, what_stands_in_the_padding_does_not_matter)
{
    for (size_t i = 0; i < COUNT(norms) * 2; i++) {
        wf_gau_config c = small_model(norms[i / 2], false);
        model_batch zeros = batch_of(ROWS, lengths, i % 2, 9, VOCAB, 0),
                    others = batch_of(ROWS, lengths, i % 2, 9, VOCAB, 7);
        trial a = model_start(&c, &zeros, false, SEED), b = model_start(&c, &others, false, SEED);
        model_run(&a, &zeros);
        model_run(&b, &others);
        const char *name, *what = wf_gau_norm_name(c.norm);
        int64_t n;
        cr_expect_arr_eq(read_output(&a, "rows"), read_output(&b, "rows"), (size_t)zeros.picked * 4,
                         "%s: losses", what);
        for (int k = 0; (name = model_parameter(&a, k, &n)); k++)
            cr_expect_arr_eq(model_gradient(&a, name), model_gradient(&b, name), (size_t)n * 4,
                             "%s: gradient of %s", what, name);
        end(&a);
        end(&b);
    }
}

/* Changes a token of each sequence in turn and looks who noticed. */
static void change_tokens(const wf_gau_config *c, bool padded)
{
    model_batch b = batch_of(ROWS, lengths, padded, 3, VOCAB, 0);
    trial t = model_start(c, &b, true, SEED);
    float *before = malloc((size_t)(b.tokens * WIDTH) * sizeof *before);
    model_run(&t, &b);
    memcpy(before, read_output(&t, "x"), (size_t)(b.tokens * WIDTH) * sizeof *before);
    for (int s = 0, first = 0; s < ROWS; first += lengths[s++])
        for (int place = 0; place < lengths[s]; place += 1 + lengths[s] / 3) {
            int32_t *id = &b.ids[b.picks[first + place]], was = *id;
            *id = (was + 1) % VOCAB;
            model_run(&t, &b);
            *id = was;
            for (int i = 0; i < b.picked; i++) {
                int64_t at = b.picks[i] * WIDTH;
                bool moved = memcmp(read_output(&t, "x") + at, before + at, WIDTH * sizeof *before);
                bool may = i >= first + (c->causal ? place : 0) && i < first + lengths[s];
                bool must = may && c->norm != WF_GAU_RELU2;
                cr_expect(moved ? may : !must,
                          "%s, padded %d, causal %d: token %d of sequence %d %s %d",
                          wf_gau_norm_name(c->norm), padded, c->causal, place, s,
                          moved ? "moves" : "leaves", i);
            }
        }
    free(before);
    end(&t);
}

/* Above all its first row, where ln(1) = 0 makes all scores of softmax_plus zero. With relu2 a
 * token need not act on all that see it. */
Test(gau_batches, a_token_acts_on_its_sequence_and_causally_on_what_follows)
{
    for (size_t i = 0; i < COUNT(norms) * 4; i++) {
        wf_gau_config c = small_model(norms[i / 4], i % 4 / 2);
        c.min_len = 1;
        change_tokens(&c, i % 2);
    }
}

/* ---- a padded batch ---- */

Test(gau_batches, a_padded_model_has_its_shapes_and_refuses_others)
{
    wf_gau_config c = small_model(WF_GAU_SOFTMAX_PLUS, false);
    model_batch b = batch_of(ROWS, lengths, true, 0, VOCAB, 0);
    trial t = model_start(&c, &b, true, SEED);
    wf_shape s;
    model_run(&t, &b);
    wf_read(t.p, "x", &s);
    cr_expect(s.rank == 3 && s.dim[0] == ROWS && s.dim[1] == 70 && s.dim[2] == WIDTH);
    cr_expect_eq(wf_bind(t.p, "ids", b.ids, (size_t)b.picked * 4), WF_EMODEL, "of packed tokens");
    cr_expect_eq(wf_bind(t.p, "lengths", b.ends, (ROWS + 1) * 4), WF_EMODEL, "offsets");
    cr_expect_eq(wf_bind(t.p, "offsets", b.ends, (ROWS + 1) * 4), WF_EMODEL, "no such input");
    end(&t);
}

/* ---- dropout ---- */

static float loss_of(trial *t, const model_batch *b)
{
    model_run(t, b);
    return wf_scalar(t->p, "loss");
}

static void copy_weights(const trial *to, const trial *from)
{
    const char *name;
    int64_t n;
    for (int i = 0; (name = model_parameter(from, i, &n)); i++)
        memcpy(wf_store_data(to->store, name, NULL, NULL),
               wf_store_data(from->store, name, NULL, NULL), (size_t)n * sizeof(float));
}

Test(gau_batches, dropout_comes_from_the_seed_and_is_the_identity_at_0_and_in_evaluation)
{
    static const char *const places[] = {"embedding", "attention", "output", "logits"};
    wf_gau_config c = small_model(WF_GAU_SOFTMAX_PLUS, false);
    float *rates[] = {&c.dropout.embedding, &c.dropout.attention, &c.dropout.output,
                      &c.dropout.logits};
    model_batch b = batch_of(ROWS, lengths, false, 0, VOCAB, 0);
    trial none = model_start(&c, &b, false, SEED);
    float plain = loss_of(&none, &b);
    for (int i = 0; i < 4; i++) {
        *rates[i] = 0.3f;
        trial a = model_start(&c, &b, false, SEED), same = model_start(&c, &b, false, SEED),
              other = model_start(&c, &b, false, SEED + 1),
              evaluation = model_start(&c, &b, true, SEED);
        *rates[i] = 0;
        copy_weights(&other, &a);
        float loss = loss_of(&a, &b);
        cr_expect_eq(loss_of(&evaluation, &b), plain, "%s: evaluation", places[i]);
        cr_expect_neq(loss, plain, "%s: no dropout", places[i]);
        cr_expect_eq(loss_of(&same, &b), loss, "%s: the same seed", places[i]);
        cr_expect_neq(loss_of(&other, &b), loss, "%s: another seed", places[i]);
        cr_expect_neq(loss_of(&a, &b), loss, "%s: the next run", places[i]);
        end(&a);
        end(&same);
        end(&other);
        end(&evaluation);
    }
    end(&none);
}
