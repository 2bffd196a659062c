/* training.json: damage is noticed if the file has a digest, and unknown keys are noted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "reason/trained.h"
#include "store/seal.h"

static const char sound[] =
    "{\"updates\": 3, \"epoch\": 1, \"stage\": 2, \"config\": {\"method\": \"ivt-lr\", \"positions\": \"sequential\","
    " \"prompt\": \"words\", \"c_thought\": 2, \"max_latent_stage\": 3, \"lr\": 1e-3, \"image_size\": \"56x84\", \"latents_off\": false,"
    " \"settings\": {\"k-select\": \"4\"}}}";

static char *sealed_text(void)
{
    json_t *object = json_loads(sound, 0, NULL);
    char *text = tn_store_seal_object(object);
    json_decref(object);
    assert_non_null(text);
    return text;
}

static void test_sealed_text(void **state)
{
    (void)state;
    char *text = sealed_text();
    tn_trained trained = { 0 };
    tenebra_error error = { 0 };
    assert_int_equal(tn_trained_parse(&trained, text, strlen(text), &error), TENEBRA_OK);
    assert_string_equal(trained.method, "ivt-lr");
    assert_string_equal(tn_trained_setting(&trained, "ivt-lr", "k-select"), "4");
    assert_string_equal(tn_trained_setting(&trained, "ivt-lr", "n-latent"), "4");
    assert_int_equal(trained.image.height, 84);
    assert_int_equal(trained.notes.count, 0);
    tn_trained_free(&trained);
    free(text);
}

static void test_every_flipped_bit(void **state)
{
    (void)state;
    char *text = sealed_text();
    const size_t size = strlen(text);
    size_t refused = 0;
    for (size_t bit = 0; bit < size * 8; bit++) {
        tn_trained trained = { 0 };
        tenebra_error error = { 0 };
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
        bool good = tn_trained_parse(&trained, text, size, &error) == TENEBRA_OK;
        assert_true(good ? trained.notes.count > 0 : error.sentence[0] != '\0'); /* the name of the digest itself is noted */
        refused += !good;
        tn_trained_free(&trained);
        text[bit / 8] = (char)(text[bit / 8] ^ 1 << bit % 8);
    }
    assert_true(refused > size * 8 - 8 * strlen(TN_STORE_SEAL_KEY) && refused < size * 8);
    free(text);
}

/* Files of older versions carry no digest: they are read, and what nothing knows is noted. */
static void test_text_without_digest(void **state)
{
    (void)state;
    tn_trained trained = { 0 };
    tenebra_error error = { 0 };
    char text[sizeof sound], said[TN_NOTES_TEXT];
    assert_int_equal(tn_trained_parse(&trained, sound, strlen(sound), &error), TENEBRA_OK);
    assert_int_equal(trained.notes.count, 0);
    tn_trained_free(&trained);
    memcpy(text, sound, sizeof sound);
    memcpy(strstr(text, "c_thought"), "c_thoughs", 9);
    memcpy(strstr(text, "epoch"), "epocj", 5);
    assert_int_equal(tn_trained_parse(&trained, text, strlen(text), &error), TENEBRA_OK);
    assert_string_equal(tn_notes_print(&trained.notes, said), "training.json: epocj, config.c_thoughs");
    tn_trained_free(&trained);
}

static void test_digests_that_are_none(void **state)
{
    (void)state;
    static const char *const seals[] = { "1", "\"\"", "\"blake2b-256:00\"", "{}" };
    for (size_t i = 0; i < sizeof seals / sizeof *seals; i++) {
        char text[200];
        tn_trained trained = { 0 };
        tenebra_error error = { 0 };
        snprintf(text, sizeof text, "{\"config\": {}, \"" TN_STORE_SEAL_KEY "\": %s}", seals[i]);
        assert_int_equal(tn_trained_parse(&trained, text, strlen(text), &error), TENEBRA_ERROR_FORMAT);
        assert_non_null(strstr(error.sentence, TN_STORE_SEAL_KEY));
        tn_trained_free(&trained);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sealed_text),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_text_without_digest),
        cmocka_unit_test(test_digests_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
