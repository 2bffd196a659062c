/* What the commands that ask a model share: the rows of their option tables, and what follows from them. */
#ifndef TN_APP_ASK_H
#define TN_APP_ASK_H

#include "app/method_table.h"

typedef struct tn_ask {
    const char *directory; /* of the model */
    tn_app_path own;       /* memory of it */
    tenebra_model_options model;
    tn_option_list adapters, pass_adapters; /* those of `model`, as they are written */
    tenebra_session_options session;
    tenebra_request request; /* without messages and method */
    const char *preset, *example;
    bool answer_turn;
    tn_method_table methods;
    tn_trained trained; /* defaults that the model's directory or an adapter tells */
} tn_ask;

#define TN_ASK_INIT                                                                                             \
    { .model.size = sizeof(tenebra_model_options), .session.size = sizeof(tenebra_session_options),             \
      .request.size = sizeof(tenebra_request) }

/* Rows of a tn_ask; those of the methods come apart, as a group with the offset of `methods`. */
extern const tn_option tn_ask_options[];

#define TN_ASK_GROUPS(record, field) \
    { tn_ask_options, offsetof(record, field) }, { NULL, offsetof(record, field) + offsetof(tn_ask, methods) }

/* Finds the directory of the model. Returns what is wrong with the options; NULL: nothing. */
const char *tn_ask_find_model(tn_ask *ask);

/* Reads the adapters, and what training left beside them or the model. Errors: those of tn_app_read_adapters and tn_trained_read. */
tenebra_code tn_ask_read_trained(tn_ask *ask, tenebra_error *error);

/* Whether the options say how large pictures are seen. */
bool tn_ask_has_sizes(const tn_ask *ask);

void tn_ask_free(tn_ask *ask);

#endif
