/* A data set: one file of data/sets/, found by the build (cmake/registry.cmake).
 *
 * Its reader finds the files, and hands each row to tn_data_add; leaving out, limits and checks for all sets
 * alike happen there. For sets/ and the code that makes and checks data. */
#ifndef TN_DATA_DATASET_H
#define TN_DATA_DATASET_H

#include "base/json.h"
#include "data/sample.h"
#include "data/strings.h"

/* ----------------------------------------------------------------- made -- */

/* How questions are worded: in one way, or in many, those of training or those kept for tests. */
typedef enum tn_wordings { TN_WORDINGS_ONE, TN_WORDINGS_SEEN, TN_WORDINGS_UNSEEN } tn_wordings;

/* What to make. */
typedef struct tn_make {
    uint64_t seed;
    size_t size;             /* side of a picture, pixels; 0: the set's default  */
    size_t grid;             /* objects a side; 0: the set's default             */
    const char *families;    /* names with commas between; NULL: all             */
    size_t steps_min, steps_max; /* looks a question needs; 0: no bound          */
    double hints;            /* share of pictures' parts that give steps away, 0..1 */
    bool brief;              /* steps in a word or two, where the set has such ones */
    tn_wordings wordings;    /* with many, the question is all that is to be asked, choices included */
    bool varied;             /* pictures of many sizes, grounds, borders and qualities */
} tn_make;

/* One made sample. Its texts lie in `strings`. */
typedef struct tn_made {
    tn_sample sample;
    tn_strings strings;
    unsigned char *pixels; /* [size, size, 3] RGB */
    size_t size;
} tn_made;

void tn_made_free(tn_made *made);

/* ------------------------------------------------------------------ set -- */

/* One split: its name, others for it, and the numbers that were published. */
typedef struct tn_dataset_split {
    const char *name;
    const char *aliases[3]; /* NULL: no more                                            */
    size_t rows[2];         /* of a whole set; two versions are about; 0: not published */
    size_t with_image;      /* of the first of them; 0: all, or not published           */
    const char *of;         /* the split whose rows these are; NULL: its own            */
    tn_data_part part;      /* of them; OF_SPLIT: all                                   */
} tn_dataset_split;

typedef struct tn_dataset {
    const char *name, *summary;
    const tn_dataset_split *splits; /* ends with name == NULL */
    const char *prompt;             /* wording of its questions at test time; NULL: the standard */
    bool in_file;                   /* the place is a file, not a directory                      */
    bool without_images;            /* samples without a picture belong to it as any others      */

    /* Finds the files of data->split in data->directory and adds its rows. */
    tenebra_code (*read)(tn_data *data, tenebra_error *error);

    /* Adds the rows of the main file, given in memory. For tests. */
    tenebra_code (*parse)(tn_data *data, const void *bytes, size_t length, const char *name, tenebra_error *error);

    /* Makes sample `index` of a split, the same for the same arguments everywhere; NULL for sets that cannot be
     * made. *made is freed on failure. Errors: ARGUMENT, MEMORY. Threads: any. */
    tenebra_code (*make)(const tn_make *make, const char *split, size_t index, tn_made *made,
                         tenebra_error *error);
} tn_dataset;

/* All sets, NULL-terminated, and one by name (NULL if there is none). */
extern const tn_dataset *const tn_datasets[];
const tn_dataset *tn_dataset_find(const char *name, size_t length);

/* The name of the split whose rows are read. */
const char *tn_data_rows_of(const tn_data *data);

/* The split of that name or alias; NULL if there is none. */
const tn_dataset_split *tn_dataset_split_find(const tn_dataset *set, const char *name);

/* -------------------------------------------------------------- reading -- */

struct tn_data {
    const tn_dataset *set;
    const tn_dataset_split *split;
    char *directory; /* where pictures are looked for             */
    char *file;      /* of a set that is one file; else NULL      */
    tn_data_options options;
    tn_strings strings;
    tn_sample *samples; /* [count] */
    size_t count, capacity;
    size_t rows, rows_with_image; /* before any was left out */
    size_t eligible;              /* before topics and limit */
    const char *remark;           /* of the reader, for tn_data_note; NULL: none */
    json_t *unknown;              /* object: names of the rows' fields that nothing reads; NULL: none so far */
};

/* No file of a set may be larger, no sample have more pictures or options. */
enum { TN_DATA_IMAGES_MAX = 16, TN_DATA_OPTIONS_MAX = 26 };
#define TN_DATA_FILE_LIMIT ((size_t)1 << 30)

/* An empty split for rows from memory. Errors: ARGUMENT (no such split), MEMORY. */
tn_data *tn_data_new(const tn_dataset *set, const char *directory, const char *split,
                     const tn_data_options *options, tenebra_error *error);

/* Takes a row, whose texts lie in data->strings; texts that are NULL become "". `where` names its file and line.
 * Errors: FORMAT (no id, no question, an answer outside of the options), LIMIT, MEMORY. */
tenebra_code tn_data_add(tn_data *data, const tn_sample *sample, const char *where, tenebra_error *error);

/* After the last row. Errors: FORMAT (an id twice, by name). */
tenebra_code tn_data_seal(tn_data *data, tenebra_error *error);

/* Keeps the names of a row's fields that are none of `known` (ends with NULL), for tn_data_note. Errors: MEMORY. */
tenebra_code tn_data_fields(tn_data *data, const json_t *row, const char *const *known, tenebra_error *error);

/* Member `key` of a row, copied; a missing or null one gives "". Errors: FORMAT (no string, or one that holds a
 * zero byte), MEMORY. */
tenebra_code tn_data_text(tn_data *data, const json_t *row, const char *key, const char **out, const char *where,
                          tenebra_error *error);

/* Member `key`, a list of 1 to TN_DATA_OPTIONS_MAX texts, as the options. Errors: as above. */
tenebra_code tn_data_choices(tn_data *data, const json_t *row, const char *key, tn_sample *sample,
                             const char *where, tenebra_error *error);

/* The path of a picture named `name` in a published file: separators of either kind, relative to the set's
 * directory, or in one of `folders` (ends with NULL) by its last part. The first that is a file is taken, and if
 * none is, the first of all. Names that lead out of the directory ("..") are FORMAT; of an absolute one only the
 * last part counts. */
tenebra_code tn_data_picture(tn_data *data, const char *name, const char *const *folders, tn_sample *sample,
                             const char *where, tenebra_error *error);

/* "directory/path" for the first of `paths` (ends with NULL) that is a file, copied into data->strings.
 * Errors: IO naming the first, MEMORY. */
tenebra_code tn_data_locate(tn_data *data, const char *const *paths, const char **found, tenebra_error *error);

/* ------------------------------------------- rows of one JSON object each -- */

/* The layout with one JSON object a line and lettered answers (docs/data.md): reads <split>.jsonl of data->directory,
 * or of "data" in it; adds the lines of such a file in memory; writes one row, NULL without memory. */
tenebra_code tn_rows_read(tn_data *data, tenebra_error *error);
tenebra_code tn_rows_parse(tn_data *data, const void *bytes, size_t length, const char *name,
                           tenebra_error *error);
json_t *tn_rows_write(const tn_sample *sample);

#endif
