/* LaRe in training: its module is made, trained and saved with the model. Answering is in unit/reason/lare.c, gradients in
 * grad/lare.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/modules.h"
#include "unit/train/run.h"

#include <math.h>
#include <unistd.h>

static tn_trainer *train(const place *p, const char *const *lines, size_t count)
{
    tn_train_config config;
    watcher w = { 0 };
    read_recipe(&config, p, lines, count);
    tn_trainer *trainer = run_trainer(&config, false, &w);
    tn_train_config_free(&config);
    return trainer;
}

static const tn_parameter *find(const tn_trainer *trainer, const char *name)
{
    for (size_t i = 0; i < trainer->parameters->count; i++)
        if (strcmp(trainer->parameters->items[i].name, name) == 0)
            return &trainer->parameters->items[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

/* The share of the refinement leaves its start, and both marks, which start as the same row, become different ones. */
static void test_trained(void **state)
{
    static const char *const lines[] = { "method=lare", "k_select=2", "lq_width=32", "latent_grad_full=true" };
    const place *p = *state;
    tn_trainer *trainer = train(p, lines, 4);
    assert_non_null(tn_module_of(trainer->model, "lare"));
    const tn_parameter *gamma = find(trainer, "module.gamma"), *marks = find(trainer, "module.marks.weight");
    assert_int_equal(gamma->count, 1);
    assert_true(isfinite(gamma->values[0]) && gamma->values[0] != (tn_real)0.1);
    assert_memory_not_equal(marks->values, marks->values + marks->count / 2, marks->count / 2 * sizeof *marks->values);
    tn_trainer_close(trainer);
    char *file = inside(p->output, "model/module.safetensors");
    assert_int_equal(access(file, R_OK), 0);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trained, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
