/* The digest against other implementations' results, in any cut of the text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/digest.h"

/* Text of `count` bytes 0, 1, 2, ..., 250, 0, ..., in parts of `part` bytes. */
static tn_digest digest_of(size_t count, size_t part)
{
    unsigned char text[1024];
    tn_hash hash;
    for (size_t i = 0; i < count; i++)
        text[i] = (unsigned char)(i % 251);
    tn_hash_start(&hash);
    for (size_t at = 0; at < count; at += part)
        tn_hash_add(&hash, text + at, count - at < part ? count - at : part);
    return tn_hash_finish(&hash);
}

/* Computed with hashlib.blake2b(bytes(i % 251 for i in range(n)), digest_size=32) of Python 3.11. */
static const struct {
    size_t count;
    unsigned char first[8], last[8];
} known[] = {
    { 0, { 0x0E, 0x57, 0x51, 0xC0, 0x26, 0xE5, 0x43, 0xB2 }, { 0xFA, 0xAB, 0x45, 0xCD, 0xF1, 0x2F, 0xE3, 0xA8 } },
    { 1, { 0x03, 0x17, 0x0A, 0x2E, 0x75, 0x97, 0xB7, 0xB7 }, { 0x82, 0xF2, 0x9D, 0xCF, 0x4C, 0x11, 0x13, 0x14 } },
    { 127, { 0xF2, 0xFE, 0x67, 0xFF, 0x34, 0x2E, 0x21, 0xB8 }, { 0x2E, 0x9C, 0x49, 0x13, 0x88, 0x79, 0x1C, 0x72 } },
    { 128, { 0xC3, 0x58, 0x2F, 0x71, 0xEB, 0xB2, 0xBE, 0x66 }, { 0xE3, 0x77, 0xCF, 0xCB, 0x24, 0x88, 0xC1, 0xD1 } },
    { 129, { 0xF7, 0xF3, 0xC4, 0x6B, 0xA2, 0x56, 0x4F, 0xF4 }, { 0xF9, 0xA3, 0x37, 0xC1, 0xA2, 0xF5, 0xB9, 0xC9 } },
    { 256, { 0x58, 0x2F, 0x78, 0x22, 0x26, 0x01, 0x8E, 0xC3 }, { 0x0F, 0x30, 0x6B, 0xA3, 0xBE, 0xFC, 0x3F, 0x24 } },
    { 1000, { 0xB3, 0x72, 0xD0, 0x60, 0x8F, 0x72, 0x0C, 0x8C }, { 0x07, 0xE7, 0x54, 0xBF, 0x79, 0xC0, 0x83, 0x31 } },
};

static void test_known_digests(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof known / sizeof *known; n++)
        for (size_t part = 1; part < 300; part += 37) {
            tn_digest digest = digest_of(known[n].count, part);
            for (size_t i = 0; i < 8; i++) {
                assert_int_equal(digest.words[0] >> 8 * i & 0xFF, known[n].first[i]);
                assert_int_equal(digest.words[3] >> 8 * i & 0xFF, known[n].last[i]);
            }
        }
}

static void test_equality(void **state)
{
    (void)state;
    tn_digest a = digest_of(500, 500), b = digest_of(500, 3), other = digest_of(501, 501), unknown = { { 0 } };
    assert_true(tn_digest_equal(&a, &b));
    assert_false(tn_digest_equal(&a, &other));
    assert_false(tn_digest_equal(&unknown, &unknown)); /* nothing known is equal to nothing */
    b.words[3] ^= 1;
    assert_false(tn_digest_equal(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_known_digests), cmocka_unit_test(test_equality) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
