/* Options shared by the commands that ask a model questions (run, eval, eval probe). */
#ifndef TN_APP_ASK_H
#define TN_APP_ASK_H

#include "app/method_table.h"

typedef struct tn_ask {
    const char *directory; /* -m; replaced by the default model if it is not given */
    tn_path own;           /* memory for `directory` */
    tn_path place;         /* the directory of everything but the weights: of --base, or the same */
    tenebra_model_options model;
    tn_option_list adapters, pass_adapters; /* --lora and --lora-pass as text */
    tenebra_session_options session;
    tenebra_request request; /* messages and method are filled in by the command */
    const char *preset, *example;
    bool answer_turn;
    tn_method_table methods;
    tn_trained trained; /* defaults recorded by training, in the directory of the model or of an adapter */
} tn_ask;

#define TN_ASK_INIT                                                                                             \
    { .model.size = sizeof(tenebra_model_options), .session.size = sizeof(tenebra_session_options),             \
      .request.size = sizeof(tenebra_request) }

/* The options of a tn_ask, except those of methods, which are a group of their own (offset of `methods`). */
extern const tn_option tn_ask_options[];

#define TN_ASK_GROUPS(record, field) \
    { tn_ask_options, offsetof(record, field) }, { NULL, offsetof(record, field) + offsetof(tn_ask, methods) }

/* Finds the model directory. Returns a sentence about what is wrong with the options; NULL if nothing is. */
const char *tn_ask_find_model(tn_ask *ask);

/* Reads the options of adapters, and the training.json beside the adapter or the model. Errors: those of tn_app_read_adapters
 * and tn_trained_read. */
tenebra_code tn_ask_read_trained(tn_ask *ask, tenebra_error *error);

/* Whether any option sets the size of images. */
bool tn_ask_has_sizes(const tn_ask *ask);

/* Whether one of the settings is an intervention of the method, some of which use the seed. */
bool tn_ask_intervenes(const char *method, const tenebra_setting *settings, size_t count);

/* Prints the note "PREFIXnot used, because decoding is greedy: ..." to stderr if the temperature is 0 and other options of sampling are
 * set. `seeded`: something else uses the seed. */
void tn_ask_tell_greedy(const char *prefix, const tenebra_sampling *sampling, bool seeded);

/* The most prompts that an answer of the method has; NULL: of the default method. */
size_t tn_ask_passes(const char *method);

/* Prints a note to stderr for each adapter of a pass that no answer has, if answers have at most `passes`. */
void tn_ask_tell_passes(const tn_ask *ask, size_t passes);

void tn_ask_free(tn_ask *ask);

#endif
