/* Fuzz target: a solved example. What is accepted must be ready for a request: parts that exist, one text after the images, an
 * answer that names its label, letters among the options. */
#include "data/strings.h"
#include "reason/example.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* The words that the answer must contain: those of the option whose letter the file names, or the label. */
static const char *expected(const tn_example *example, const tn_prompt_preset *preset, size_t *length)
{
    const json_t *options = json_object_get(example->json, "options");
    if (options == NULL)
        options = json_object_get(example->json, "choices");
    const char *label = example->example.label, *words = label;
    if (preset->in_words && json_array_size(options) > 0)
        words = json_string_value(json_array_get(options, (size_t)(label[0] - 'A')));
    require(words != NULL);
    *length = strlen(words);
    if (words != label)
        tn_strip(&words, length, true);
    return words;
}

static void check(const tn_example *example, const tn_prompt_preset *preset)
{
    const tenebra_example *shown = &example->example;
    size_t texts = 0, pictures = 0;
    for (size_t i = 0; i < shown->part_count; i++) {
        require(shown->parts[i].text != NULL);
        texts += shown->parts[i].kind == TENEBRA_PART_TEXT;
        pictures += shown->parts[i].kind == TENEBRA_PART_IMAGE_FILE;
    }
    require(texts + pictures == shown->part_count && pictures == example->image_count && pictures <= 16);
    size_t length, before = strlen(preset->answer[0]);
    const char *words = expected(example, preset, &length);
    require(shown->label[0] != '\0' && strlen(shown->answer) == before + length + strlen(preset->answer[1]));
    require(memcmp(shown->answer + before, words, length) == 0);
    require(shown->rationale == NULL || strlen(shown->rationale) > 0 || shown->rationale[0] == '\0');
    if (shown->scene_graph != NULL)
        require(strlen(shown->scene_graph) < (size_t)1 << 30);
    char turn[TN_ANSWER_TURN_SIZE];
    tn_answer_turn_write(turn, shown->part_count);
    require(strlen(turn) > 0 && strlen(turn) < sizeof turn - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    size_t presets = 0;
    if (size < 1)
        return 0;
    while (tn_prompt_presets[presets].name != NULL)
        presets++;
    tn_example example;
    tenebra_error error = { 0 };
    tenebra_code code = tn_example_parse(&example, bytes + 1, size - 1, "folder/example.json",
                                         &tn_prompt_presets[bytes[0] % presets], &error);
    require(code == error.code);
    if (code == TENEBRA_OK)
        check(&example, &tn_prompt_presets[bytes[0] % presets]);
    else
        require(example.json == NULL && example.images == NULL && error.sentence[0] != '\0');
    tn_example_free(&example);
    return 0;
}
