/* The loops that AddressSanitizer checks as a whole still have their bounds: one number too many is reported. */
#include "kern/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { COUNT = 37, CASES = 5 };

/* The loops with the last number of one operand missing; case 0: none. */
static void use(const tn_kernels *k, size_t missing)
{
    tn_real *whole = calloc(COUNT, sizeof *whole), *part = calloc(COUNT - 1, sizeof *part);
    switch (missing) {
    case 0: k->dot(whole, whole, COUNT); break;
    case 1: k->dot(part, whole, COUNT); break;
    case 2: k->dot(whole, part, COUNT); break;
    case 3: k->axpy(whole, 1, part, COUNT); break;
    default: k->axpy(part, 1, whole, COUNT); break;
    }
    free(whole);
    free(part);
}

static void test_every_number_is_checked(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    for (size_t missing = 0; missing < CASES; missing++) {
        int status = 0;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            close(STDERR_FILENO);
            use(tn_kernels_reference(), missing);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(missing == 0 ? status == 0 : status != 0);
    }
#else
    use(tn_kernels_reference(), 0);
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_number_is_checked) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
