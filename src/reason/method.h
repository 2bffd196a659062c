/* A reasoning method: one file of reason/methods/, found by the build (cmake/registry.cmake).
 *
 * A method decides what the next span is, nothing else. The loop (reason/loop.h) calls it:
 *
 *     open -> { arrange -> prefill -> { next -> run the action } ... } -> end
 *
 * `arrange` writes the conversation of a pass; two-pass methods ask for another pass with TN_ACT_PASS
 * and see what the earlier ones generated; rows that the passes share are computed once. A dialogue goes on with
 * TN_ACT_TURN: `arrange` then gets an empty script for the new messages, and only their rows run, behind everything that
 * is in the cache. `next` looks at the
 * reasoner (hidden state, attention scores, tokens and text so far) and either lays rows into the span
 * (latents, picked or new image embeddings, tokens, with positions of its choice), or asks for a decoded
 * token, or ends. */
#ifndef TN_REASON_METHOD_H
#define TN_REASON_METHOD_H

#include "base/option.h"
#include "model/module.h"

typedef struct tn_image tn_image;
typedef struct tn_reasoner tn_reasoner;
typedef struct tn_script tn_script;
typedef struct tn_lesson tn_lesson;
struct tn_choice;
struct tn_latent_view;
struct tn_latent_rows;
struct tn_row;

typedef enum tn_action_kind {
    TN_ACT_APPEND, /* run the rows of the span, count them as latent, injected or plain */
    TN_ACT_DECODE, /* sample a token; unless it ends the answer, run it                 */
    TN_ACT_PASS,   /* arrange and prefill another conversation, generate afresh         */
    TN_ACT_TURN,   /* close the reply, arrange and append further messages, generate on */
    TN_ACT_FINISH
} tn_action_kind;

typedef struct tn_action {
    tn_action_kind kind;
    bool latent; /* APPEND: a latent pass                                                      */
    bool tap;    /* APPEND, DECODE: collect attention scores of the last row (reasoner->span.scores) */
} tn_action;

/* What the reply of a solved example shows (tenebra_example). */
typedef enum tn_reply {
    TN_REPLY_NONE,    /* the method takes no example           */
    TN_REPLY_ANSWER,  /* the answer                            */
    TN_REPLY_REASONED /* the rationale, a line end, the answer */
} tn_reply;

typedef struct tn_method {
    const char *name, *summary;
    const tn_option *options; /* ends with TN_OPTIONS_END; reasoner->values follow its order   */
    bool standard;     /* it answers requests that name no method                               */
    bool sequential;   /* default positions: 0, 1, 2, ...; else the backbone's own              */
    bool tap_prompt;   /* collect attention scores of the prompt's last row                     */
    const char *note;  /* for the trace: what it wants of the model; NULL: any model will do      */
    tn_reply reply;    /* in an example, unless arrange writes another (tn_script_reply)        */

    /* Reads the settings and takes its state (tn_reasoner_take). May be NULL. */
    tenebra_code (*open)(tn_reasoner *reasoner, tenebra_error *error);
    /* Changes the script, which holds the request's messages, for pass number reasoner->pass.
     * NULL: leaves them as they are. */
    tenebra_code (*arrange)(tn_reasoner *reasoner, tn_script *script, tenebra_error *error);
    /* The rows of a latent step (reason/latent_step.h), in answering and in training; NULL: it takes none. */
    tenebra_code (*latent_step)(struct tn_choice *choice, const struct tn_latent_view *view, struct tn_row *rows, size_t *count,
                                tenebra_error *error);
    tenebra_code (*next)(tn_reasoner *reasoner, tn_action *action, tenebra_error *error);
    /* Draws what the model sees in place of a picture of the conversation, or after it (shows_both), into *drawn, before it is
     * resized. It is picture `index` of the `count` that the question has, or the example. NULL: pictures stay as they are. */
    tenebra_code (*redraw)(tn_reasoner *reasoner, const tn_image *image, size_t index, size_t count, tn_image *drawn,
                           tenebra_error *error);
    /* Whether the picture itself is seen before what redraw draws; NULL: it is not. */
    bool (*shows_both)(const tn_reasoner *reasoner);
    /* Training: says what follows the prompt in a lesson (reason/lesson.h), from lesson->source. NULL: the method
     * cannot be trained. */
    tenebra_code (*arrange_lesson)(tn_reasoner *reasoner, tn_lesson *lesson, tenebra_error *error);

    /* A network of the method's own, trained with the model or beside it; NULL: none. */
    const tn_layout *module;
    /* A loss besides that of the tokens, of a batch of training examples: `scale` times its mean over the examples [1, 1], recordable.
     * A mean over tokens and this one weigh the same. NULL: none. */
    tn_tensor (*batch_loss)(tn_ops *ops, const tn_network *module, const struct tn_latent_rows *examples, size_t count, double scale);
    /* Sizes and numbers of a new module. Errors: ARGUMENT (settings). */
    tenebra_code (*shape_module)(const tenebra_setting *settings, size_t count, tn_module_shape *shape, tenebra_error *error);
} tn_method;

/* The name of the method of requests that name none. */
const char *tn_method_default(void);

/* All methods, NULL-terminated, and one by name (NULL if there is none). */
extern const tn_method *const tn_methods[];
const tn_method *tn_method_find(const char *name);

/* The same for a name that somebody wrote: NULL fills the error (ARGUMENT), with the nearest name. */
const tn_method *tn_method_choose(const char *name, tenebra_error *error);

/* Says that the method has no such option, with the nearest of those it has. Returns ARGUMENT. */
tenebra_code tn_method_lacks_option(const tn_method *method, const char *option, tenebra_error *error);

/* The words of an option with TN_MEANS_LATENT_TEXT that leave the hidden state alone, and that take rows of the request. */
#define TN_LATENT_TEXT_KEEP  "keep"
#define TN_LATENT_TEXT_GIVEN "given"

/* The input that holds those rows: [steps, hidden_size], what stands in for the hidden state of each step. */
#define TN_INPUT_LATENTS "latents"

/* Options of all methods together, at most. */
enum { TN_METHOD_OPTIONS_MAX = 64 };

/* The option of that name, or with that meaning, of the method of that name; NULL: there is no such method (`method` may be NULL), or it
 * has none. */
const tn_option *tn_method_option(const char *method, const char *name);
const tn_option *tn_method_option_that_means(const char *method, tn_option_meaning means);

/* Writes the setting of a SIZE option with that meaning, whose text is kept in `text`. False: the method has no such option. */
enum { TN_SETTING_TEXT_SIZE = 24 };
bool tn_setting_that_means(const char *method, tn_option_meaning means, size_t value, char text[TN_SETTING_TEXT_SIZE],
                           tenebra_setting *setting);

/* Whether the method has the option and it takes that value. Errors: ARGUMENT. */
tenebra_code tn_method_check_setting(const tn_method *method, const char *name, const char *value, tenebra_error *error);

/* Whether a text names positions, "sequential" or "mrope". Errors: ARGUMENT. */
tenebra_code tn_positions_check(const char *word, tenebra_error *error);

#endif
