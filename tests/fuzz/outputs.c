/* Fuzz target: result files, keys, and every scorer on their contents.
 *
 * The first byte says how many of the next bytes (times 16) are the key; the rest is the result file. What is read must be
 * usable: texts that are not NULL, verdicts that do not depend on what was scored before, counts that add up. */
#include "eval/outputs.h"
#include "eval/score_table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool truth)
{
    if (!truth)
        abort();
}

/* The readers take paths. */
static void write_file(char *path, const uint8_t *bytes, size_t size)
{
    strcpy(path, "/tmp/tenebra-fuzz-XXXXXX");
    int file = mkstemp(path);
    require(file >= 0 && write(file, bytes, size) == (ssize_t)size && close(file) == 0);
}

static void check_row(const tn_output *row)
{
    const tn_sample *sample = &row->sample;
    const char *const texts[] = { sample->id, sample->question, sample->context, sample->label, sample->domain,
                                  sample->topic, sample->subject, sample->grade, row->method, row->source };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        require(texts[i] != NULL);
    for (size_t i = 0; i < sample->option_count; i++)
        require(sample->options[i] != NULL);
    require(row->scored.sample == sample && (row->scored.text.bytes != NULL || row->scored.chosen));
}

static void check_scorer(const tn_scorer *scorer, const tn_outputs *outputs)
{
    tn_tally tally = { .scorer = scorer };
    size_t judged = 0;
    for (size_t i = 0; i < outputs->count; i++) {
        const tn_scored *answer = &outputs->rows[i].scored;
        if (tn_tally_add(&tally, answer, NULL) != TENEBRA_OK)
            continue;
        tn_verdict one, two;
        judged++;
        require(scorer->judge(&one, answer, 0, NULL) == TENEBRA_OK && scorer->judge(&two, answer, 0, NULL) == TENEBRA_OK);
        require(one.correct == two.correct && one.choice == two.choice && one.letters == two.letters);
        require(one.found || !one.correct);
    }
    tn_tally_finish(&tally);
    require(tally.all.total == judged && tally.all.correct <= judged && tally.found <= judged);
    for (size_t i = 0; i < tally.count; i++)
        require(tally.groups[i].correct <= tally.groups[i].total && tally.groups[i].total <= judged);
    json_t *scores = tn_tally_json(&tally);
    require(scores != NULL);
    json_decref(scores);
    tn_tally_free(&tally);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (size < 1)
        return 0;
    size_t key_size = (size_t)bytes[0] * 16 < size - 1 ? (size_t)bytes[0] * 16 : size - 1;
    char key_path[32], path[32];
    write_file(key_path, bytes + 1, key_size);
    write_file(path, bytes + 1 + key_size, size - 1 - key_size);
    tenebra_error error = { 0 };
    tn_key *key;
    tn_key_open("test", &key, &error);
    bool keyed = tn_key_add(key, key_path, &error) == TENEBRA_OK;
    tn_outputs outputs;
    if (tn_outputs_read(&outputs, path, keyed ? key : NULL, &error) == TENEBRA_OK) {
        for (size_t i = 0; i < outputs.count; i++)
            check_row(&outputs.rows[i]);
        for (const tn_scorer *const *scorer = tn_scorers; *scorer != NULL; scorer++)
            check_scorer(*scorer, &outputs);
    }
    tn_outputs_free(&outputs);
    tn_key_close(key);
    unlink(key_path);
    unlink(path);
    return 0;
}
