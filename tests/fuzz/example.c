/* Fuzz target: a solved example. What is accepted must be ready for a request: parts that are there, one text behind the
 * pictures, an answer that names its label, letters among the options. */
#include "reason/example.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

static void check(const tn_example *example)
{
    const tenebra_example *shown = &example->example;
    size_t texts = 0, pictures = 0;
    for (size_t i = 0; i < shown->part_count; i++) {
        require(shown->parts[i].text != NULL);
        texts += shown->parts[i].kind == TENEBRA_PART_TEXT;
        pictures += shown->parts[i].kind == TENEBRA_PART_IMAGE_FILE;
    }
    require(texts + pictures == shown->part_count && pictures == example->image_count && pictures <= 16);
    require(shown->label[0] != '\0' && strstr(shown->answer, shown->label) != NULL);
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
        check(&example);
    else
        require(example.json == NULL && example.images == NULL && error.sentence[0] != '\0');
    tn_example_free(&example);
    return 0;
}
