/* Digests of lines: what is whole is found good, any changed bit, another manifest and a cut line are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/seal.h"

#include <stdlib.h>
#include <string.h>

static const char line[] = "{\"n\":3,\"text\":\"a, b\"}";

static void test_seal(void **state)
{
    (void)state;
    size_t length;
    tn_digest head = { { 1, 2, 3, 4 } }, other = { { 1, 2, 3, 5 } }, digest, found;
    char *sealed = tn_seal_line(line, strlen(line), &head, &length, &digest);
    assert_non_null(sealed);
    assert_int_equal(length, strlen(sealed));
    assert_int_equal(length, strlen(line) - 1 + TN_SEAL_SIZE);
    assert_memory_equal(sealed, line, strlen(line) - 1);
    assert_int_equal(tn_seal_check(sealed, length, &head, &found), TN_SEAL_GOOD);
    assert_true(tn_digest_equal(&digest, &found));
    assert_int_equal(tn_seal_check(sealed, length, &other, &found), TN_SEAL_BROKEN);
    assert_int_equal(tn_seal_check(sealed, length, NULL, &found), TN_SEAL_BROKEN);
    assert_int_equal(tn_seal_check(line, strlen(line), &head, &found), TN_SEAL_NONE);
    for (size_t i = 0; i < length; i++)
        for (int bit = 0; bit < 8; bit++) {
            sealed[i] ^= (char)(1 << bit);
            assert_int_not_equal(tn_seal_check(sealed, length, &head, &found), TN_SEAL_GOOD);
            sealed[i] ^= (char)(1 << bit);
        }
    for (size_t cut = 0; cut < length; cut++)
        assert_int_not_equal(tn_seal_check(sealed, cut, &head, &found), TN_SEAL_GOOD);
    free(sealed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
