/* Operations of a forward and backward, against sums over the sizes of the tiny model for each way to train it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/checked.h"
#include "unit/train/run.h"

#include <math.h>

/* Operations of a row, of a pair of rows, of a patch, and of a pair of patches; or multiplications, those of a patch by their place. */
typedef struct costs {
    double row, pair, patch, patch_pair;
    double embed, blocks, merge;
} costs;

static size_t vision_size(const tn_trainer *trainer, const char *name)
{
    return tn_encoder_size(trainer->model->backbone->encoder, &trainer->model->config.vision, name);
}

static costs costs_of(const place *p, const char *const *lines, size_t count, const char *base, costs *sizes)
{
    tn_train_config config;
    read_recipe(&config, p, lines, count);
    if (base != NULL) {
        config.shape = NULL;
        config.model = base;
    }
    tn_trainer *trainer = open_trainer(&config, &(tn_trainer_options){ .plan_only = true });
    /* n images of one patch: n patch + n pair; one image of n patches in one frame: n patch + n^2 pair */
    tn_prepared one = { .rows = 1, .pairs = 1 }, two = { .rows = 2, .pairs = 4 };
    const tn_train_example row = { .rows = 1 }, rows = { .rows = 2 }, picture = { .picture_count = 1, .prepared = &one },
                    wide = { .picture_count = 1, .prepared = &two };
    const tn_train_example *const all[] = { &row, &rows, &picture, &wide };
    double flops[4];
    for (size_t i = 0; i < 4; i++)
        flops[i] = tn_trainer_flops(trainer, &all[i], 1);
    /* f(n) = n row + n^2 / 2 pair */
    const costs found = { .row = 2 * flops[0] - flops[1] / 2, .pair = flops[1] - 2 * flops[0], .patch = 2 * flops[2] - flops[3] / 2,
                          .patch_pair = flops[3] / 2 - flops[2] };
    const tn_decoder *d = &trainer->model->decoder;
    double h = (double)d->config.hidden_size, f = (double)d->config.intermediate_size, e = (double)vision_size(trainer, "embed_dim");
    double q = (double)(d->config.num_attention_heads * d->config.head_dim),
           k = (double)(d->config.num_key_value_heads * d->config.head_dim);
    double m = (double)(vision_size(trainer, "spatial_merge_size") * vision_size(trainer, "spatial_merge_size"));
    *sizes = (costs){ .row = (double)d->config.num_hidden_layers * (h * (2 * q + 2 * k) + 3 * h * f),
                      .pair = (double)d->config.num_hidden_layers * q,
                      .patch_pair = (double)vision_size(trainer, "depth") * e,
                      .embed = e * (double)vision_size(trainer, "patch_values"),
                      .blocks = (double)vision_size(trainer, "depth") * (4 * e * e + 2 * e * (double)vision_size(trainer, "mlp_dim")),
                      .merge = m * e * e + e * (double)d->config.hidden_size };
    sizes->patch = sizes->embed + sizes->blocks + sizes->merge;
    tn_trainer_close(trainer);
    tn_train_config_free(&config);
    return found;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fabs(b);
}

static void test_everything_is_trained(void **state)
{
    static const char *const lines[] = { "freeze_vision_tower=false" };
    costs n, c = costs_of(*state, lines, 1, NULL, &n);
    assert_true(near(c.row, 6 * n.row) && near(c.pair, 12 * n.pair) && near(c.patch_pair, 12 * n.patch_pair));
    assert_true(near(c.patch, 4 * n.embed + 6 * n.blocks + 6 * n.merge)); /* pixels have no gradient */
}

static void test_frozen_tower(void **state)
{
    static const char *const lines[] = { "freeze_vision_tower=true" };
    costs n, c = costs_of(*state, lines, 1, NULL, &n);
    assert_true(near(c.row, 6 * n.row) && near(c.patch, 2 * n.patch) && near(c.patch_pair, 4 * n.patch_pair));
}

/* Images that picks are read from: only their forward runs, unless gradients flow through picks. */
static void test_looks(void **state)
{
    for (int through = 0; through < 2; through++) {
        const char *lines[] = { "freeze_vision_tower=false", through ? "picks_grad_full=true" : "picks_grad_full=false" };
        costs n, c = costs_of(*state, lines, 2, NULL, &n);
        tn_train_config config;
        read_recipe(&config, *state, lines, 2);
        tn_trainer *trainer = open_trainer(&config, &(tn_trainer_options){ .plan_only = true });
        tn_prepared two[] = { { .rows = 1, .pairs = 1 }, { .rows = 4, .pairs = 16 } };
        const tn_train_example example = { .picture_count = 1, .look_count = 1, .prepared = two }, *all = &example;
        double look = through ? 4 * c.patch + 16 * c.patch_pair : 4 * 2 * n.patch + 16 * 4 * n.patch_pair;
        assert_true(near(tn_trainer_flops(trainer, &all, 1), c.patch + c.patch_pair + look));
        tn_trainer_close(trainer);
        tn_train_config_free(&config);
    }
}

/* Only blocks of the tower are trained: the decoder after them passes gradients on, but its weights have none. */
static void test_blocks_of_the_tower(void **state)
{
    static const char *const lines[] = { "freeze_vision_tower=false", "trainable=visual.blocks.*" };
    costs n, c = costs_of(*state, lines, 2, NULL, &n);
    assert_true(near(c.row, 4 * n.row) && near(c.pair, 12 * n.pair) && near(c.patch_pair, 12 * n.patch_pair));
    assert_true(near(c.patch, 2 * n.embed + 6 * n.blocks + 4 * n.merge));
}

/* An adapter of rank r at an m x n matrix adds r (m + n) values, which are multiplied forward, backward and for their gradients. */
static void test_adapters(void **state)
{
    const place *p = *state;
    costs n, other, c;
    char base[160];
    const char *lines[] = { "finetuning_type=lora", "lora_rank=2", "lora_target=o_proj", "freeze_vision_tower=true" };
    snprintf(base, sizeof base, "%s/model", p->output);
    tn_train_config config;
    static const char *const once[] = { "max_updates=1", "validate=false" };
    read_recipe(&config, p, once, 2);
    tn_trainer *trainer = open_trainer(&config, &(tn_trainer_options){ 0 });
    assert_int_equal(tn_trainer_run(trainer, NULL), TENEBRA_OK);
    double h = (double)trainer->model->decoder.config.hidden_size, layers = (double)trainer->model->decoder.config.num_hidden_layers,
           q = (double)(trainer->model->decoder.config.num_attention_heads * trainer->model->decoder.config.head_dim),
           k = (double)(trainer->model->decoder.config.num_key_value_heads * trainer->model->decoder.config.head_dim);
    tn_trainer_close(trainer);
    tn_train_config_free(&config);
    c = costs_of(p, lines, 4, base, &n);
    double added = layers * 2 * (q + h);
    double first = 2 * h * (q + 2 * k) + 2 * h * q + 2 * 2 * q; /* below the first adapter nothing has a gradient */
    assert_true(near(c.row, 4 * n.row + 6 * added - first));
    assert_true(near(c.patch, 2 * n.patch) && near(c.patch_pair, 4 * n.patch_pair));
    assert_true(near(c.pair, 12 * n.pair - 8 * q)); /* the first layer's attention is also before it */
    lines[1] = "lora_rank=4";
    other = costs_of(p, lines, 4, base, &n);
    assert_true(other.row > c.row);
    lines[2] = "lora_target=all";
    lines[3] = "freeze_vision_tower=false";
    c = costs_of(p, lines, 4, base, &n);
    assert_true(c.patch > 3 * n.patch && near(c.patch_pair, 12 * n.patch_pair)); /* LoRA on the tower is not a frozen tower */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_is_trained, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_frozen_tower, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_looks, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_blocks_of_the_tower, open_place, close_place),
        cmocka_unit_test_setup_teardown(test_adapters, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
