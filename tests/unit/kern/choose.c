/* Choosing a kernel set by name. */
#include "kern/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const tn_kernels *choose(const char *name)
{
    const tn_kernels *chosen;
    assert_int_equal(tn_kernels_choose(name, &chosen, NULL), TENEBRA_OK);
    return chosen;
}

static void test_every_set_is_found_by_its_name(void **state)
{
    const tn_kernels *last = NULL;
    (void)state;
    for (size_t i = 0; tn_kernels_at(i) != NULL; i++) {
        last = tn_kernels_at(i);
        assert_ptr_equal(choose(last->name), last);
        assert_true(last->linear_chunk > 0);
    }
    assert_ptr_equal(tn_kernels_at(0), tn_kernels_reference());
    assert_string_equal(tn_kernels_at(0)->name, "reference");
    assert_ptr_equal(choose(NULL), last);
    assert_ptr_equal(choose(""), last);
    assert_string_not_equal(last->name, "openblas");
    assert_null(tn_kernels_at(100));
}

static void test_unknown_names_are_refused(void **state)
{
    const char *names[] = { "avx", "Reference", "reference ", "%s%n" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tenebra_error error = { 0 };
        const tn_kernels *none = tn_kernels_reference();
        assert_int_equal(tn_kernels_choose(names[i], &none, &error), TENEBRA_ERROR_ARGUMENT);
        assert_null(none);
        assert_int_equal(error.code, TENEBRA_ERROR_ARGUMENT);
        assert_string_equal(error.where, names[i]);
        assert_non_null(strstr(error.sentence, "reference"));
    }
}

/* A set that is built but does not run here is distinguished from one that does not exist. */
static void test_sets_of_other_processors(void **state)
{
    const char *names[] = { "avx2", "avx512", "avx512vnni", "avx512bf16", "amx" };
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        tenebra_error error = { 0 };
        const tn_kernels *chosen;
        if (tn_kernels_choose(names[i], &chosen, &error) == TENEBRA_OK)
            continue;
        assert_null(chosen);
#if defined(__x86_64__)
        assert_int_equal(error.code, TENEBRA_ERROR_UNSUPPORTED);
#else
        assert_int_equal(error.code, TENEBRA_ERROR_ARGUMENT);
#endif
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_set_is_found_by_its_name),
        cmocka_unit_test(test_unknown_names_are_refused),
        cmocka_unit_test(test_sets_of_other_processors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
