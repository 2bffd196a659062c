/* tenebra data make: writes a generated data set as rows of JSON and PNG files. */
#include "app/data.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/nearest.h"
#include "base/output.h"
#include "base/pool.h"
#include "image/png_write.h"
#include "train/files.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SPLITS = 3 };

typedef struct make_job {
    const tn_dataset *set;
    const char *directory;
    tn_make make;
    const char *hops;
    size_t worded; /* a tn_wordings */
    size_t threads;
    size_t counts[SPLITS];   /* train, dev, test */
    uint64_t hashes[SPLITS]; /* [SPLITS] hash of rows and pixels */
    size_t size;             /* of the images */
    bool json;
    tn_pool *pool;
} make_job;

static const char *const split_names[SPLITS] = { "train", "dev", "test" };
static const char *const wordings[] = { "one", "seen", "unseen", "wide" };

static uint64_t add_hash(uint64_t hash, const void *bytes, size_t length)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * 0x100000001B3u; /* FNV-1a */
    return hash;
}

/* This file exists in the directory while a set is being made there; a directory that still has it may be overwritten. */
static const char UNFINISHED[] = "data/unfinished";

/* Makes the directories. An existing set is refused; one that was never finished is started again. */
static tenebra_code prepare(const make_job *job, tenebra_error *error)
{
    tn_path path, mark;
    TN_TRY(tn_path_print(&mark, error, "%s/%s", job->directory, UNFINISHED));
    bool again = tn_path_is_file(mark.text);
    for (size_t i = 0; i < SPLITS; i++) {
        TN_TRY(tn_path_print(&path, error, "%s/data/%s.jsonl", job->directory, split_names[i]));
        if (tn_path_is_file(path.text) && !again)
            return tn_fail(error, TENEBRA_ERROR_IO, path.text, "exists; choose a new directory");
        if (again)
            remove(path.text);
    }
    TN_TRY(tn_path_print(&path, error, "%s/data/images", job->directory));
    TN_TRY(tn_files_make_directory(path.text, error));
    return tn_output_put(mark.text, "", 0, error);
}

/* Samples made in parallel, each by one thread; rows and hashes are then written in order. */
enum { BATCH = 64 };

typedef struct made_row {
    tn_made made;
    char *line; /* the row as JSON; malloc'd */
    tenebra_error error;
} made_row;

typedef struct make_batch {
    const make_job *job;
    size_t split, first;
    made_row rows[BATCH];
} make_batch;

static tenebra_code make_row(const make_batch *batch, size_t place, made_row *row)
{
    const make_job *job = batch->job;
    tn_path path;
    tenebra_error *error = &row->error;
    TN_TRY(job->set->make(&job->make, split_names[batch->split], batch->first + place, &row->made, error));
    const tn_made *made = &row->made;
    TN_TRY(tn_path_print(&path, error, "%s/%s", job->directory, made->sample.images[0]));
    tn_image image = { .width = made->size, .height = made->size, .channels = 3, .pixels = made->pixels };
    TN_TRY(tn_png_write(&image, path.text, error));
    json_t *fields = tn_rows_write(&made->sample);
    row->line = fields != NULL ? json_dumps(fields, JSON_ENSURE_ASCII) : NULL;
    json_decref(fields);
    return row->line != NULL ? TENEBRA_OK
                             : tn_fail(error, TENEBRA_ERROR_MEMORY, made->sample.id, "no memory for the row");
}

static void make_chunk(void *argument, size_t chunk, size_t worker)
{
    make_batch *batch = argument;
    (void)worker;
    made_row *row = &batch->rows[chunk];
    *row = (made_row){ 0 };
    make_row(batch, chunk, row);
}

static tenebra_code write_row(make_job *job, size_t split, const made_row *row, tn_output *rows, tenebra_error *error)
{
    if (row->error.code != TENEBRA_OK) {
        *error = row->error;
        return row->error.code;
    }
    size_t length = strlen(row->line);
    job->size = row->made.size;
    job->hashes[split] = add_hash(job->hashes[split], row->line, length);
    job->hashes[split] = add_hash(job->hashes[split], row->made.pixels, 3 * row->made.size * row->made.size);
    TN_TRY(tn_output_write(rows, row->line, length, error));
    return tn_output_write(rows, "\n", 1, error);
}

static tenebra_code write_rows(make_job *job, size_t split, tn_output *rows, const char *path, tenebra_error *error)
{
    double started = tn_clock_ms();
    make_batch batch = { .job = job, .split = split };
    tenebra_code code = TENEBRA_OK;
    for (size_t done = 0, count; done < job->counts[split] && code == TENEBRA_OK; done += count) {
        if (tn_app_interrupted())
            return tn_fail(error, TENEBRA_ERROR_CANCELLED, path, "stopped before it was complete");
        count = job->counts[split] - done < BATCH ? job->counts[split] - done : BATCH;
        batch.first = done;
        tn_pool_run(job->pool, count, make_chunk, &batch);
        for (size_t i = 0; i < count; i++) {
            if (code == TENEBRA_OK)
                code = write_row(job, split, &batch.rows[i], rows, error);
            free(batch.rows[i].line);
            tn_made_free(&batch.rows[i].made);
        }
        tn_app_progress(split_names[split], done + count, job->counts[split], started);
    }
    return code;
}

static tenebra_code make_split(make_job *job, size_t split, tenebra_error *error)
{
    tn_path path;
    tn_output rows;
    TN_TRY(tn_path_print(&path, error, "%s/data/%s.jsonl", job->directory, split_names[split]));
    job->hashes[split] = 0xCBF29CE484222325u;
    tenebra_code code = tn_output_open(&rows, path.text, error);
    if (code == TENEBRA_OK)
        code = write_rows(job, split, &rows, path.text, error);
    if (code == TENEBRA_OK)
        code = tn_output_finish(&rows, error);
    tn_output_close(&rows);
    return code;
}

/* Writes data/made.json: how the set was made, for readers and for `data check`. */
static json_t *describe(const make_job *job)
{
    json_t *splits = json_object();
    for (size_t i = 0; i < SPLITS; i++) {
        char hash[24];
        snprintf(hash, sizeof hash, "%016" PRIx64, job->hashes[i]);
        if (job->counts[i] > 0)
            json_object_set_new(splits, split_names[i],
                                json_pack("{s:I, s:s}", "rows", (json_int_t)job->counts[i], "hash", hash));
    }
    char hops[64];
    snprintf(hops, sizeof hops, "%zu-%zu", job->make.steps_min, job->make.steps_max);
    json_t *made = json_pack("{s:s, s:I, s:I, s:f, s:b, s:s, s:b, s:s, s:s, s:o}", "set", job->set->name, "seed",
                     (json_int_t)job->make.seed, "size", (json_int_t)job->size, "hints", job->make.hints, "brief",
                     job->make.brief, "wordings", wordings[job->make.wordings], "varied", job->make.varied, "families",
                     job->make.families != NULL ? job->make.families : "all",
                     "looks", job->make.steps_max > 0 ? hops : "all", "splits", splits);
    if (made != NULL && job->make.regions)
        json_object_set_new(made, "regions", json_true());
    return made;
}

static int finish(const make_job *job)
{
    tn_path mark;
    tenebra_error error;
    json_t *made = describe(job);
    tenebra_code code = tn_json_write_in(job->directory, TN_MADE_FILE, made, JSON_INDENT(1), &error);
    if (code == TENEBRA_OK)
        code = tn_path_print(&mark, &error, "%s/%s", job->directory, UNFINISHED);
    if (code != TENEBRA_OK) {
        json_decref(made);
        return tn_app_fail(&error);
    }
    remove(mark.text);
    if (job->json)
        return tn_data_print(made);
    for (size_t i = 0; i < SPLITS; i++)
        if (job->counts[i] > 0)
            tn_app_print("%-6s %8zu samples   hash %016" PRIx64 "\n", split_names[i], job->counts[i], job->hashes[i]);
    json_decref(made);
    return TN_EXIT_OK;
}

/* "3", or "1-6". */
static bool read_range(const char *text, size_t *first, size_t *last)
{
    char *end;
    if (text[0] < '0' || text[0] > '9')
        return false;
    unsigned long low = strtoul(text, &end, 10), high = low;
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        high = strtoul(end + 1, &end, 10);
    *first = low;
    *last = high;
    return *end == '\0' && low >= 1 && low <= high && high <= 99;
}

#define TN_RECORD make_job
static const tn_option option_table[] = {
    TN_SIZE(0, "train", counts[0], "N", "1000", 0, 1e7, "number of samples in the split train"),
    TN_SIZE(0, "dev", counts[1], "N", "100", 0, 1e7, "number of samples in the split dev"),
    TN_SIZE(0, "test", counts[2], "N", "100", 0, 1e7, "number of samples in the split test"),
    TN_SEED(0, "seed", make.seed, "1", "seed of the random numbers"),
    TN_SIZE(0, "size", make.size, "PIXELS", NULL, 56, 1120, "side of an image, a multiple of 28 (default: 112, with marks 224)"),
    TN_SIZE(0, "grid", make.grid, "N", NULL, 2, 4, "the image shows N x N objects (default: 4)"),
    TN_NUMBER(0, "hints", make.hints, "P", "0", 0, 1, "share of objects on a ground in the colour of the object that they point to"),
    TN_SWITCH(0, "brief", make.brief, "write each step of arrows and detail as one word, the next colour, and equally many in all samples"),
    TN_TEXT(0, "families", make.families, "LIST", NULL,
            "kinds of questions, separated by commas (default: arrows,nearest,count; others: sight, list, detail, marks)"),
    TN_CHOICE(0, "wordings", worded, "one|seen|unseen|wide", "one",
              "wording of arrows and sight: fixed, as in training (seen, wide), or for tests (unseen)"),
    TN_SWITCH(0, "varied", make.varied, "images of many sizes, with borders, noise and JPEG artefacts"),
    TN_SWITCH(0, "regions", make.regions, "rows of detail say which region a solution looks at, and after which step"),
    TN_TEXT(0, "hops", hops, "A-B", NULL, "number of looks that a question requires (default: arrows 1-6, nearest 1-3, count 1-3)"),
    TN_SIZE('t', "threads", threads, "N", NULL, 1, 256, "number of threads, which does not affect the set (default: all processors)"),
    TN_SWITCH(0, "json", json, "print a summary as JSON to stdout"),
    TN_OPTIONS_END
};

static int refuse_name(const char *name)
{
    char sentence[400];
    const char *maker;
    tn_nearest nearest = tn_nearest_of(name, strlen(name));
    for (size_t i = 0; (maker = tn_names_of_makers(i)) != NULL; i++)
        tn_nearest_try(&nearest, maker);
    snprintf(sentence, sizeof sentence, "no set of the name '%.100s' can be generated%s; 'tenebra data list' says which can", name,
             tn_nearest_hint(&nearest));
    return tn_command_mistake(&tn_command_data_make, sentence);
}

static int run_command(int argc, char **argv)
{
    make_job job = { 0 };
    int exit_code, first = tn_options_parse(&tn_command_data_make, &job, argc, argv, &exit_code);
    if (first < 0)
        return exit_code;
    if (argc - first != 2)
        return tn_command_mistake(&tn_command_data_make, "requires the name of a data set and a directory");
    if (job.hops != NULL && !read_range(job.hops, &job.make.steps_min, &job.make.steps_max))
        return tn_command_mistake(&tn_command_data_make, "--hops requires a number or a range, such as 1-6");
    job.set = tn_dataset_find(argv[first], strlen(argv[first]));
    if (job.set == NULL || job.set->make == NULL)
        return refuse_name(argv[first]);
    job.directory = argv[first + 1];
    job.make.wordings = (tn_wordings)job.worded;
    tn_app_catch_interrupts();
    tenebra_error error;
    tenebra_code code = prepare(&job, &error);
    if (code == TENEBRA_OK)
        code = tn_pool_open(job.threads > 0 ? job.threads : tn_cpu_count(), &job.pool, &error);
    for (size_t i = 0; i < SPLITS && code == TENEBRA_OK; i++)
        if (job.counts[i] > 0)
            code = make_split(&job, i, &error);
    tn_pool_close(job.pool);
    return code == TENEBRA_OK ? finish(&job) : tn_app_fail(&error);
}

const tn_command tn_command_data_make = {
    .name = "data make",
    .summary = "generate a benchmark of questions that require several looks at an image",
    .arguments = "NAME DIR",
    .about = "Generates the data set NAME (hops) in DIR: rows in DIR/data/<split>.jsonl, images in DIR/data/images. The same options\n"
             "give the same set on every machine, and no scene is in two splits.",
    .example = "  tenebra data make hops /tmp/looks --train 20000 --dev 500 --test 1000 --seed 1",
    .groups = TN_GROUP_OF(option_table),
    .offers = { tn_names_of_makers, NULL },
    .run = run_command,
};
