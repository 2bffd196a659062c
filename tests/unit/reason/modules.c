/* Modules from files: sizes and numbers that do not fit each other are refused before the forward relies on them. */
#include <setjmp.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "reason/method.h"

/* A new module of every method that has one passes its check. */
static void new_modules_are_sound(void **state)
{
    (void)state;
    size_t seen = 0;
    for (size_t m = 0; tn_methods[m] != NULL; m++) {
        const tn_method *method = tn_methods[m];
        tn_module_shape shape = { .sizes = { [TN_MODULE_HIDDEN] = 48 } };
        tenebra_error error = { 0 };
        if (method->module == NULL)
            continue;
        assert_non_null(method->check_module);
        assert_int_equal(method->shape_module(NULL, 0, &shape, &error), TENEBRA_OK);
        assert_int_equal(method->check_module(&shape, "module.json", &error), TENEBRA_OK);
        seen++;
    }
    assert_true(seen > 0);
}

static void damaged_modules_are_refused(void **state)
{
    (void)state;
    const tn_method *method = tn_method_find("lare");
    tn_module_shape sound = { .sizes = { [TN_MODULE_HIDDEN] = 48 } };
    tenebra_error error = { 0 };
    size_t refused = 0;
    assert_int_equal(method->shape_module(NULL, 0, &sound, &error), TENEBRA_OK);
    for (size_t i = TN_MODULE_HIDDEN + 1; i < TN_LAYOUT_SIZES; i++) {
        tn_module_shape shape = sound;
        shape.sizes[i] = sound.sizes[i] == 5 ? 7 : 5; /* divides no width here */
        refused += method->check_module(&shape, "module.json", &error) == TENEBRA_ERROR_FORMAT;
    }
    assert_true(refused >= 6); /* width, heads, the row of a table, marks, the maps of a loss and their width */
    tn_module_shape shape = sound;
    shape.numbers[0] = (double)NAN;
    assert_int_equal(method->check_module(&shape, "module.json", &error), TENEBRA_ERROR_FORMAT);
    assert_string_equal(error.where, "module.json");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_modules_are_sound),
        cmocka_unit_test(damaged_modules_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
