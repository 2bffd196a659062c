/* A data set: one file of data/sets/, found by the build (cmake/registry.cmake).
 *
 * Its reader finds the files and passes each row to tn_data_add, which leaves samples out, limits and checks in the
 * same way for all data sets. For sets/ and the code that makes and checks data. */
#ifndef TN_DATA_DATASET_H
#define TN_DATA_DATASET_H

#include "base/json.h"
#include "data/sample.h"
#include "data/strings.h"

/* ----------------------------------------------------------------- made -- */

/* How questions are worded: ONE: in one way; SEEN: with many templates for training; UNSEEN: with templates kept for tests;
 * WIDE: with more templates for training, in addition to those of SEEN. */
typedef enum tn_wordings { TN_WORDINGS_ONE, TN_WORDINGS_SEEN, TN_WORDINGS_UNSEEN, TN_WORDINGS_WIDE } tn_wordings;

/* What to generate. */
typedef struct tn_make {
    uint64_t seed;
    size_t size;             /* side of an image, pixels; 0: the set's default   */
    size_t grid;             /* objects per side; 0: the set's default           */
    const char *families;    /* comma-separated names; NULL: all                 */
    size_t steps_min, steps_max; /* looks that a question requires; 0: no limit  */
    double hints;            /* share of objects whose background shows a step, 0..1 */
    bool brief;              /* steps of one or two words, if the data set has such steps */
    tn_wordings wordings;    /* with many, the question is the complete prompt, choices included */
    bool varied;             /* images of many sizes, backgrounds, borders and qualities */
    bool regions;            /* samples carry the regions that their solutions look at, if the data set knows any */
} tn_make;

/* One generated sample. Its texts are in `strings`. */
typedef struct tn_made {
    tn_sample sample;
    tn_strings strings;
    unsigned char *pixels; /* [size, size, 3] RGB */
    size_t size;
} tn_made;

void tn_made_free(tn_made *made);

/* ------------------------------------------------------------------ set -- */

/* One split: its name, aliases, and the published numbers. */
typedef struct tn_dataset_split {
    const char *name;
    const char *aliases[3]; /* NULL: no further ones                                    */
    size_t rows[2];         /* rows of the complete split in up to two published versions; 0: not published */
    size_t with_image;      /* rows with an image, in the first version; 0: all, or not published */
    const char *of;         /* the split whose rows are used; NULL: its own             */
    tn_data_part part;      /* of them; OF_SPLIT: all                                   */
} tn_dataset_split;

typedef struct tn_dataset {
    const char *name, *summary;
    const tn_dataset_split *splits; /* ends with name == NULL */
    const char *prompt;             /* wording of its questions at test time; NULL: the default */
    bool in_file;                   /* the place is a file, not a directory                      */
    bool without_images;            /* samples without an image are used like any others         */

    /* Finds the files of data->split in data->directory and adds its rows. */
    tenebra_code (*read)(tn_data *data, tenebra_error *error);

    /* Adds the rows of the main file, which is in memory. For tests. */
    tenebra_code (*parse)(tn_data *data, const void *bytes, size_t length, const char *name, tenebra_error *error);

    /* Makes sample `index` of a split; the same arguments give the same sample everywhere. NULL for data sets that
     * cannot be generated. *made is freed on failure. Errors: ARGUMENT, MEMORY. Threads: any. */
    tenebra_code (*make)(const tn_make *make, const char *split, size_t index, tn_made *made,
                         tenebra_error *error);
} tn_dataset;

/* All data sets, NULL-terminated, and one by name (NULL if there is none). */
extern const tn_dataset *const tn_datasets[];
const tn_dataset *tn_dataset_find(const char *name, size_t length);

/* The set that a place "NAME:DIRECTORY" names, in *set (NULL on failure), and what comes after the colon. Errors: ARGUMENT (lists the
 * names, suggests the nearest). */
tenebra_code tn_dataset_choose(const char *place, const tn_dataset **set, const char **target, tenebra_error *error);

/* The name of the split whose rows are read. */
const char *tn_data_rows_of(const tn_data *data);

/* The split of that name or alias; NULL if there is none. */
const tn_dataset_split *tn_dataset_split_find(const tn_dataset *set, const char *name);

/* -------------------------------------------------------------- reading -- */

struct tn_data {
    const tn_dataset *set;
    const tn_dataset_split *split;
    char *directory; /* where images are searched                 */
    char *file;      /* if the data set is one file; else NULL */
    tn_data_options options;
    tn_strings strings;
    tn_sample *samples; /* [count] */
    size_t count;
    size_t rows, rows_with_image; /* before any were left out */
    size_t eligible;              /* before topics and limit */
    const char *remark;           /* the reader's note, for tn_data_note; NULL: none */
    json_t *unknown;              /* object: names of fields that are not read; NULL: none so far */
};

/* The maximum size of a file in bytes, and the maximum numbers of images, options and regions of a sample. */
enum { TN_DATA_IMAGES_MAX = 16, TN_DATA_OPTIONS_MAX = 26, TN_DATA_REGIONS_MAX = 16 };
#define TN_DATA_FILE_LIMIT ((size_t)1 << 30)

/* An empty split for rows from memory. Errors: ARGUMENT (no such split), MEMORY. */
tenebra_code tn_data_new(const tn_dataset *set, const char *directory, const char *split, const tn_data_options *options,
                         tn_data **made, tenebra_error *error);

/* Adds a row, whose texts are in data->strings; texts that are NULL become "". `where` names its file and line. Errors:
 * FORMAT (no id, no question, an answer that is not an option), LIMIT, MEMORY. */
tenebra_code tn_data_add(tn_data *data, const tn_sample *sample, const char *where, tenebra_error *error);

/* To be called after the last row. Errors: FORMAT (a repeated id, by name). */
tenebra_code tn_data_seal(tn_data *data, tenebra_error *error);

/* Keeps the names of a row's fields that are not in `known` (ends with NULL), for tn_data_note. Errors: MEMORY. */
tenebra_code tn_data_fields(tn_data *data, const json_t *row, const char *const *known, tenebra_error *error);

/* Member `key` of a row, copied; "" if it is missing or null. Errors: FORMAT (not a string, or it contains a zero
 * byte), MEMORY. */
tenebra_code tn_data_text(tn_data *data, const json_t *row, const char *key, const char **out, const char *where,
                          tenebra_error *error);

/* Member `key`, a list of 1 to TN_DATA_OPTIONS_MAX texts, as the options. Errors: as above. */
tenebra_code tn_data_choices(tn_data *data, const json_t *row, const char *key, tn_sample *sample,
                             const char *where, tenebra_error *error);

/* The path of an image named `name` in a published file: with separators of either kind, relative to the data set's
 * directory, or, by its last part, in one of `folders` (ends with NULL). The result is the first path that is a file,
 * otherwise the first of all. Names that lead out of the directory ("..") are FORMAT; of an absolute path only the last
 * part counts. */
tenebra_code tn_data_picture(tn_data *data, const char *name, const char *const *folders, tn_sample *sample,
                             const char *where, tenebra_error *error);

/* Member "regions" of a row (docs/data.md), after rationale and images of the sample were read. Errors: FORMAT (not such a list; a box
 * outside of the image; steps that the rationale does not have; there is no image), MEMORY. */
tenebra_code tn_data_regions(tn_data *data, const json_t *row, tn_sample *sample, const char *where, tenebra_error *error);

/* The same list of a sample; NULL without memory. */
json_t *tn_regions_write(const tn_sample *sample);

/* "directory/path" for the first of `paths` (ends with NULL) that is a file, copied into data->strings.
 * Errors: IO naming the first, MEMORY. */
tenebra_code tn_data_locate(tn_data *data, const char *const *paths, const char **found, tenebra_error *error);

/* ------------------------------------------- rows of one JSON object each -- */

/* The layout with one JSON object per line and answers as letters (docs/data.md): reads <split>.jsonl of
 * data->directory, or of "data" in it; adds the lines of such a file in memory; writes one row, NULL without memory. */
tenebra_code tn_rows_read(tn_data *data, tenebra_error *error);
tenebra_code tn_rows_parse(tn_data *data, const void *bytes, size_t length, const char *name,
                           tenebra_error *error);
json_t *tn_rows_write(const tn_sample *sample);

#endif
