/* Fuzz target: result files, as a continued run and the tables read them.
 *
 * What is read gives records that are objects; a sealed file of which one bit is changed is refused, or that line is not read;
 * what a table is made of is whole. A run continues only in a file that can be read, and afterwards the file can be read again
 * and has one more record. */
#include "eval/journal.h"
#include "eval/seal.h"
#include "eval/table.h"

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

static tenebra_code count_record(void *user, const json_t *record, tenebra_error *error)
{
    (void)error;
    require(json_is_object(record));
    ++*(size_t *)user;
    return TENEBRA_OK;
}

static tenebra_code fit(void *user, const json_t *saved, bool *more, tenebra_error *error)
{
    (void)user;
    (void)error;
    require(json_is_object(saved));
    *more = json_object_size(saved) % 2 == 0;
    return TENEBRA_OK;
}

/* Whether the first line, which a reader takes for the manifest, is sealed. */
static bool is_sealed(const uint8_t *bytes, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(bytes, '\n', size) : NULL;
    tn_digest digest;
    return end != NULL && tn_seal_check((const char *)bytes, (size_t)(end - bytes), NULL, &digest) == TN_SEAL_GOOD;
}

/* A change in a line that ends is noticed wherever it is; in the name of the first line's digest only by the lines after it, which have
 * digests, too. */
static void check_changes(const uint8_t *bytes, size_t size, size_t records)
{
    uint8_t *copy = malloc(size);
    require(copy != NULL);
    memcpy(copy, bytes, size);
    size_t at = size > 0 ? (bytes[size / 2] * (size_t)2654435761u) % size : 0, read = 0;
    copy[at] ^= (uint8_t)(1u << (bytes[0] % 8));
    json_t *manifest = NULL;
    if (tn_journal_parse(copy, size, "changed", &manifest, count_record, &read, NULL) == TENEBRA_OK)
        require(bytes[at] == '\n' || copy[at] == '\n' || memchr(bytes + at, '\n', size - at) == NULL || read < records ||
                (records == 0 && !is_sealed(copy, size)));
    json_decref(manifest);
    free(copy);
}

static void check_table(const char *path)
{
    tn_results results = { 0 };
    tn_table_groups groups = { 0 };
    if (tn_results_add(&results, path, NULL) == TENEBRA_OK) {
        require(tn_table_group_sets(&groups, &results, 0, results.count, NULL, NULL) == TENEBRA_OK);
        json_t *report;
        require(tn_table_report(&report, &groups, NULL) == TENEBRA_OK);
        for (tn_table_form form = TN_TABLE_TEXT; form <= TN_TABLE_LATEX; form++) {
            char *text;
            require(tn_table_write(&text, report, form, NULL, NULL) == TENEBRA_OK);
            free(text);
        }
        json_decref(report);
    }
    tn_table_groups_free(&groups);
    tn_results_free(&results);
}

static void check_going_on(const char *path, bool readable, size_t records)
{
    tn_journal journal;
    json_t *manifest = json_pack("{s:i, s:s}", "tenebra_eval", 1, "version", "x"), *read = NULL;
    size_t before = 0, after = 0;
    if (tn_journal_open(&journal, path, manifest, false, count_record, fit, &before, NULL) == TENEBRA_OK) {
        static const char line[] = "{\"n\":0,\"id\":\"q\",\"method\":\"m\"}";
        require(!readable || before == records);
        require(tn_journal_append(&journal, line, strlen(line), NULL) == TENEBRA_OK);
        require(tn_journal_close(&journal, NULL) == TENEBRA_OK);
        require(tn_journal_read(path, &read, count_record, &after, NULL) == TENEBRA_OK && after == before + 1);
    }
    json_decref(read);
    json_decref(manifest);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char path[] = "/tmp/tenebra-fuzz-XXXXXX";
    int file = mkstemp(path);
    require(file >= 0 && write(file, bytes, size) == (ssize_t)size && close(file) == 0);
    json_t *manifest = NULL;
    tenebra_error error = { 0 };
    size_t records = 0;
    tenebra_code code = tn_journal_parse(bytes, size, "input", &manifest, count_record, &records, &error);
    require(code == error.code && (code == TENEBRA_OK) == (manifest != NULL));
    json_decref(manifest);
    if (code == TENEBRA_OK && is_sealed(bytes, size))
        check_changes(bytes, size, records);
    check_table(path);
    check_going_on(path, code == TENEBRA_OK, records);
    unlink(path);
    return 0;
}
