/* Text whose bytes record their origin, and functions that preserve it: Unicode normalisation forms, lower case, and the other
 * rules by which tokenizers change text before they split it. */
#ifndef TN_TEXT_NORMALIZE_H
#define TN_TEXT_NORMALIZE_H

#include "text/utf8.h"

/* text.length == marks.length. The mark of a byte is 0, or identifies the control span to which it belongs:
 * neighbouring control spans have different marks. A character made from several sources has 0. */
typedef struct tn_marked {
    tn_text text, marks;
} tn_marked;

tenebra_code tn_marked_append(tn_marked *marked, const char *bytes, size_t length, char mark,
                              tenebra_error *error);
/* The same with a mark for each byte. */
tenebra_code tn_marked_append_all(tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error);
/* The mark that all of `marks` have, or 0. */
char tn_marked_common(const char *marks, size_t length);
void tn_marked_free(tn_marked *marked);

/* Appends `bytes` with U+FFFD (mark 0) for each maximal ill-formed part. */
tenebra_code tn_marked_append_lossy(tn_marked *out, const char *bytes, const char *marks, size_t length,
                                    tenebra_error *error);

/* Appends the normalisation form C of `bytes`, valid UTF-8, in near linear time for any input.
 * Source: Unicode Standard Annex 15. Errors: MEMORY, LIMIT. Threads: any. */
tenebra_code tn_normalize_nfc(tn_marked *out, const char *bytes, const char *marks, size_t length,
                              tenebra_error *error);

/* The same in another form. */
typedef struct tn_unicode_form {
    bool compatible; /* KC and KD: compatibility characters become what they are compatible with */
    bool composed;   /* C and KC */
} tn_unicode_form;
tenebra_code tn_normalize_unicode(tn_marked *out, tn_unicode_form form, const char *bytes, const char *marks, size_t length,
                                  tenebra_error *error);

/* Appends `bytes`, valid UTF-8, with each character in lower case independently of its neighbours: a final sigma is
 * like any other. Source: `Lowercase` of Hugging Face tokenizers. Errors: MEMORY. Threads: any. */
tenebra_code tn_normalize_lower(tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error);

/* ------------------------------------------------- rules of tokenizers -- */

typedef struct tn_pattern tn_pattern;

typedef enum tn_rule_kind {
    TN_RULE_UNICODE, /* a normalisation form                                                           */
    TN_RULE_LOWER,
    TN_RULE_PREPEND, /* `text` before text that is not empty                                           */
    TN_RULE_REPLACE, /* each match of `pattern` becomes `text`; it has the mark that all of it has     */
    TN_RULE_STRIP    /* white space at the ends is left out                                            */
} tn_rule_kind;

/* One change that a tokenizer makes to text before it is split. */
typedef struct tn_rule {
    tn_rule_kind kind;
    tn_unicode_form form;    /* UNICODE                                     */
    tn_pattern *pattern;     /* REPLACE; owned                              */
    char *text;              /* PREPEND, REPLACE: [length], UTF-8; owned    */
    size_t length;
    bool left, right;        /* STRIP: which end                            */
} tn_rule;

/* The largest number of rules, and the growth of a text by all of them: this many times, and 64 KiB. */
enum { TN_RULES_MAX = 16, TN_RULE_GROWTH = 64, TN_RULE_ROOM = 1 << 16 };

/* Errors: LIMIT if a text of `before` bytes became too long. */
tenebra_code tn_rule_check_growth(size_t before, size_t after, tenebra_error *error);

/* Appends `bytes`, valid UTF-8, as the rule changes them. Errors: MEMORY; LIMIT (too much growth, a pattern that
 * backtracks too often), UNSUPPORTED (a pattern). Threads: any. */
tenebra_code tn_rule_apply(const tn_rule *rule, tn_marked *out, const char *bytes, const char *marks, size_t length, tenebra_error *error);

void tn_rule_free(tn_rule *rule);

#endif
