/* Fuzz target: training.json beside weights. What is accepted names a method, a wording, positions and settings that exist. The
 * same object with the digest of our writer is also accepted and has the same contents. */
#include "reason/trained.h"
#include "store/seal.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check_names(const tn_trained *trained)
{
    require(trained->preset == NULL || tn_prompt_find(trained->preset) != NULL);
    require(trained->method == NULL || tn_method_find(trained->method) != NULL);
    require(trained->positions == NULL || tn_positions_check(trained->positions, NULL) == TENEBRA_OK);
    require(trained->setting_count <= TN_METHOD_OPTIONS_MAX && (trained->image.width > 0) == (trained->image.height > 0));
    for (size_t i = 0; i < trained->setting_count; i++)
        require(tn_trained_setting(trained, trained->method, trained->settings[i].name) != NULL);
}

static bool same(const char *a, const char *b) { return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0); }

static void check_sealed(const tn_trained *trained)
{
    json_t *object = json_deep_copy(trained->about);
    char *text = tn_store_seal_object(object);
    tn_trained again = { 0 };
    if (text != NULL) { /* NULL: it cannot be written, such as a text with a zero byte as a key */
        require(tn_trained_parse(&again, text, strlen(text), NULL) == TENEBRA_OK);
        require(same(again.method, trained->method) && same(again.preset, trained->preset) && same(again.latents, trained->latents));
        tn_trained_free(&again);
        text[strlen(text) / 2] ^= 1;
        tenebra_error error = { 0 };
        require(tn_trained_parse(&again, text, strlen(text), &error) != TENEBRA_OK || again.notes.count > 0);
        tn_trained_free(&again);
    }
    free(text);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    tn_trained trained = { 0 };
    tenebra_error error = { 0 };
    tenebra_code code = tn_trained_parse(&trained, bytes, size, &error);
    require(code == error.code && (code == TENEBRA_OK || error.sentence[0] != '\0'));
    if (code == TENEBRA_OK) {
        check_names(&trained);
        check_sealed(&trained);
    }
    tn_trained_free(&trained);
    return 0;
}
