/* Options: one row says everything about one of them. The program, the reasoning methods and training recipes have tables of
 * such rows; one parser reads their values, and help, man pages, completion, names of environment variables and keys of
 * recipes and tasks follow from the rows.
 *
 * A table belongs to a record, a structure that its values are written to. The file that defines a table names the type:
 *
 *     #define TN_RECORD settings
 *     static const tn_option options[] = {
 *         TN_SIZE('n', "predict", max_tokens, "N", "512", 1, 1e7, "most tokens to generate"),
 *         TN_SWITCH(0, "json", json, "one JSON object on stdout"),
 *         TN_OPTIONS_END
 *     };
 */
#ifndef TN_BASE_OPTION_H
#define TN_BASE_OPTION_H

#include "base/status.h"

#include <stddef.h>

typedef enum tn_option_kind {
    TN_OPTION_SWITCH, /* bool; takes no value on the command line                */
    TN_OPTION_TEXT,   /* const char *, borrowed                                  */
    TN_OPTION_WORD,   /* the same, one of a list of words                        */
    TN_OPTION_CHOICE, /* size_t, the place of the word in the list "a|b|c"       */
    TN_OPTION_SIZE,   /* size_t, written in decimal digits                       */
    TN_OPTION_SEED,   /* uint64_t, at most TN_WHOLE_MAX                          */
    TN_OPTION_NUMBER, /* double                                                  */
    TN_OPTION_SIDES,  /* size_t [2], "WIDTHxHEIGHT", each from 1 to 65535; the word that is the default, if any: zeros */
    TN_OPTION_LIST    /* tn_option_list, each value adds one item                */
} tn_option_kind;

typedef struct tn_option_list {
    const char **items; /* borrowed texts; free(items) */
    size_t count;
} tn_option_list;

/* What an option means to the rest of the program, whatever its method calls it. */
typedef enum tn_option_meaning {
    TN_MEANS_NOTHING,
    TN_MEANS_LATENT_STEPS, /* SIZE: how many latent steps an answer has           */
    TN_MEANS_PICKS,        /* SIZE: how many image embeddings a step picks        */
    TN_MEANS_LATENT_TEXT,  /* CHOICE: an intervention on the hidden state of a step */
    TN_MEANS_LATENT_PICKS, /* CHOICE: an intervention on its picks                */
    TN_MEANS_CUE           /* TEXT: what asks for a rationale; "": nothing does   */
} tn_option_meaning;

/* Words by index, NULL after the last. */
typedef const char *tn_option_names(size_t index);

typedef struct tn_option {
    const char *name; /* '-' and '_' are equal                                    */
    char letter;      /* short form; 0: none                                      */
    tn_option_kind kind;
    tn_option_meaning means;
    size_t offset;         /* of the value in the record                          */
    size_t given;          /* offset of a bool that the command line sets; 0: none */
    const char *argument;  /* what help shows for the value; words as "a|b|c"     */
    const char *value;     /* the default; NULL: what the record held before      */
    double minimum, maximum; /* SIZE and NUMBER                                   */
    tn_option_names *names;  /* the words, where `argument` does not list them; of TEXT: what completion offers */
    const char *aliases;   /* other names, " a b "; NULL: none                    */
    const char *hint;      /* ends the sentence about a wrong value; NULL: nothing */
    bool free;             /* recipes: may differ from the checkpoint that a run continues from */
    const char *help;      /* one line                                            */
} tn_option;

#define TN_OPTION_ROW(l, n, k, at, arg, standard, low, high, ...)                                               \
    { .letter = l, .name = n, .kind = k, .offset = at, .argument = arg, .value = standard, .minimum = low, .maximum = high, \
      .help = __VA_ARGS__ }
#define TN_OPTION_AT(field) offsetof(TN_RECORD, field)
#define TN_SWITCH(l, n, field, ...) TN_OPTION_ROW(l, n, TN_OPTION_SWITCH, TN_OPTION_AT(field), NULL, NULL, 0, 0, __VA_ARGS__)
#define TN_TEXT(l, n, field, arg, standard, ...) \
    TN_OPTION_ROW(l, n, TN_OPTION_TEXT, TN_OPTION_AT(field), arg, standard, 0, 0, __VA_ARGS__)
#define TN_WORD(l, n, field, arg, standard, ...) \
    TN_OPTION_ROW(l, n, TN_OPTION_WORD, TN_OPTION_AT(field), arg, standard, 0, 0, __VA_ARGS__)
#define TN_CHOICE(l, n, field, arg, standard, ...) \
    TN_OPTION_ROW(l, n, TN_OPTION_CHOICE, TN_OPTION_AT(field), arg, standard, 0, 0, __VA_ARGS__)
#define TN_SIZE(l, n, field, arg, standard, low, high, ...) \
    TN_OPTION_ROW(l, n, TN_OPTION_SIZE, TN_OPTION_AT(field), arg, standard, low, high, __VA_ARGS__)
#define TN_NUMBER(l, n, field, arg, standard, low, high, ...) \
    TN_OPTION_ROW(l, n, TN_OPTION_NUMBER, TN_OPTION_AT(field), arg, standard, low, high, __VA_ARGS__)
#define TN_SEED(l, n, field, standard, ...) \
    TN_OPTION_ROW(l, n, TN_OPTION_SEED, TN_OPTION_AT(field), "N", standard, 0, 0, __VA_ARGS__)
#define TN_SIDES(l, n, field, ...) TN_OPTION_ROW(l, n, TN_OPTION_SIDES, TN_OPTION_AT(field), "WxH", NULL, 0, 0, __VA_ARGS__)
#define TN_LIST(l, n, field, arg, ...) TN_OPTION_ROW(l, n, TN_OPTION_LIST, TN_OPTION_AT(field), arg, NULL, 0, 0, __VA_ARGS__)
#define TN_OPTIONS_END { .name = NULL }

/* Rows of a reasoning method, whose values are kept by the place of their row. */
typedef union tn_setting_value {
    size_t size; /* of SIZE; of CHOICE the place of the word */
    size_t sides[2];
    double number;
    const char *text;
} tn_setting_value;

#define TN_SETTING_SIZE(n, arg, standard, low, high, ...) \
    TN_OPTION_ROW(0, n, TN_OPTION_SIZE, 0, arg, standard, low, high, __VA_ARGS__)
#define TN_SETTING_CHOICE(n, arg, standard, ...) TN_OPTION_ROW(0, n, TN_OPTION_CHOICE, 0, arg, standard, 0, 0, __VA_ARGS__)
#define TN_SETTING_SIDES(n, standard, ...) TN_OPTION_ROW(0, n, TN_OPTION_SIDES, 0, "WxH", standard, 0, 0, __VA_ARGS__)
#define TN_SETTING_NUMBER(n, arg, standard, low, high, ...) \
    TN_OPTION_ROW(0, n, TN_OPTION_NUMBER, 0, arg, standard, low, high, __VA_ARGS__)
#define TN_SETTING_TEXT(n, standard, ...) TN_OPTION_ROW(0, n, TN_OPTION_TEXT, 0, "TEXT", standard, 0, 0, __VA_ARGS__)

/* Writes the value that `text` says into the record; SWITCH: NULL is on. Errors: ARGUMENT with the option's name and a sentence
 * that begins with the text in quotes; MEMORY (LIST). The record keeps its old value then. */
tenebra_code tn_option_read(const tn_option *option, const char *text, void *record, tenebra_error *error);

/* The same without a record. */
tenebra_code tn_option_check(const tn_option *option, const char *text, tenebra_error *error);

/* Writes the defaults of a table. Errors: those of a default that does not fit its row, which is a mistake in the table. */
tenebra_code tn_options_set_defaults(const tn_option *options, void *record, tenebra_error *error);

/* The row of that name or alias; NULL: there is none. `options` may be NULL. */
const tn_option *tn_option_find(const tn_option *options, const char *name);

/* The first row with that meaning; NULL: there is none. */
const tn_option *tn_option_that_means(const tn_option *options, tn_option_meaning means);

/* Whether two names are the same but for '-' and '_'. */
bool tn_option_is_same_name(const char *a, const char *b);

/* Word number `index` of a row's list, *length bytes; NULL after the last, and for rows without a list. */
const char *tn_option_word(const tn_option *option, size_t index, size_t *length);

/* "WIDTHxHEIGHT" in pixels, each from 1 to 65535. */
bool tn_option_read_sides(const char *text, size_t sides[2]);

#endif
