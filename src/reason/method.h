/* A reasoning method: one file of reason/methods/, found by the build (cmake/registry.cmake).
 *
 * A method decides what the next span is, and nothing else. The loop (reason/loop.h) calls it:
 *
 *     open -> { arrange -> prefill -> { next -> run the action } ... } -> end
 *
 * `arrange` writes the conversation of a pass. Methods with several passes request another one with TN_ACT_PASS and see what
 * the earlier ones generated; rows that the passes share are computed once. A dialogue continues with TN_ACT_TURN: `arrange`
 * then gets an empty script for the new messages, and only their rows run, after everything in the cache. `next` looks at the
 * reasoner (hidden state, attention scores, tokens and text so far) and either adds rows to the span (latents, picked or new
 * image embeddings, tokens, at positions of its choice), or requests a decoded token, or ends. */
#ifndef TN_REASON_METHOD_H
#define TN_REASON_METHOD_H

#include "base/option.h"
#include "model/module.h"

typedef struct tn_image tn_image;
typedef struct tn_reasoner tn_reasoner;
typedef struct tn_script tn_script;
typedef struct tn_train_example tn_train_example;
struct tn_choice;
struct tn_denoiser;
struct tn_latent_view;
struct tn_loss_batch;
struct tn_loss_part;
struct tn_row;

typedef enum tn_action_kind {
    TN_ACT_APPEND, /* run the rows of the span, count them as latent, injected or plain */
    TN_ACT_DECODE, /* sample a token; unless it ends the answer, run it                 */
    TN_ACT_PASS,   /* arrange and prefill another conversation, then generate           */
    TN_ACT_TURN,   /* close the reply, arrange and append further messages, then generate */
    TN_ACT_FINISH
} tn_action_kind;

typedef struct tn_action {
    tn_action_kind kind;
    bool latent; /* APPEND: the rows are a latent step                                         */
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
    bool standard;     /* the default for requests that name no method                          */
    bool sequential;   /* default positions: 0, 1, 2, ...; else the backbone's own              */
    bool tap_prompt;   /* collect attention scores of the prompt's last row                     */
    bool reads_question; /* its steps read the question's hidden states (tn_latent_view.question) */
    const char *note;  /* for the trace: what it requires of the model; NULL: any model is suitable */
    tn_reply reply;    /* the reply in an example, unless arrange writes it (tn_script_reply)   */
    size_t passes;     /* the most prompts that an answer has (TN_ACT_PASS); 0: one             */
    const char *answer_end; /* text that may follow the answer itself, such as a closing tag; NULL: none */
    bool uses_regions; /* training examples show regions that samples name (tn_sample_region)   */

    /* Reads the settings and takes its state (tn_reasoner_take). May be NULL. */
    tenebra_code (*open)(tn_reasoner *reasoner, tenebra_error *error);
    /* Changes the script, which contains the request's messages, for pass number reasoner->pass. NULL: the messages are not
     * changed. */
    tenebra_code (*arrange)(tn_reasoner *reasoner, tn_script *script, tenebra_error *error);
    /* Makes the rows of a latent step (reason/latent_step.h), in answering and in training; NULL: the method has no latent
     * steps. */
    tenebra_code (*latent_step)(struct tn_choice *choice, const struct tn_latent_view *view, struct tn_row *rows, size_t *count,
                                tenebra_error *error);
    /* Vectors of its module [2, C]: the row that is fed before the latent steps, and the one after them. NULL: none are fed. */
    tn_tensor (*marks)(tn_ops *ops, const tn_network *module);
    tenebra_code (*next)(tn_reasoner *reasoner, tn_action *action, tenebra_error *error);
    /* Draws what the model sees instead of an image of the conversation, or after it (shows_both), into *drawn, before it is
     * resized. It is image `index` of `count` of the question, or of the example. NULL: images are not changed. */
    tenebra_code (*redraw)(tn_reasoner *reasoner, const tn_image *image, size_t index, size_t count, tn_image *drawn,
                           tenebra_error *error);
    /* Whether the model also sees the original image before the drawn one; NULL: it does not. */
    bool (*shows_both)(const tn_reasoner *reasoner);
    /* Training: adds what follows the prompt to a training example (reason/train_example.h), from example->source. NULL: the method
     * cannot be trained. */
    tenebra_code (*arrange_training)(tn_reasoner *reasoner, tn_train_example *example, tenebra_error *error);

    /* A network that belongs to the method and is trained with the model or with an adapter; NULL: none. */
    const tn_layout *module;
    /* Training: gradients flow through latent vectors and picks unless the recipe says otherwise; false: these are constants. */
    bool exact_gradient;
    /* Training: checks that the settings that apply only there suit the module. Errors: ARGUMENT. NULL: nothing to check. */
    tenebra_code (*check_training)(const tn_reasoner *reasoner, tenebra_error *error);
    /* Losses beside that of the tokens (reason/losses.h): writes at most TN_LOSS_PARTS of them for a batch of training examples and
     * returns their number. Each is a mean over the examples of the whole update. NULL: none. */
    size_t (*batch_losses)(const struct tn_loss_batch *batch, struct tn_loss_part *parts);
    /* For losses that compare the examples of an update: what each example shows to the others, [batch->count * k, width], k rows
     * for each, recorded. If `compares` (`own` is tn_latent_settings.own, or NULL) and the update has several batches, all of them
     * first run forward only, up to their latent steps, and tn_loss_batch.shown has the result for all examples. NULL: none compares. */
    tn_tensor (*show)(const struct tn_loss_batch *batch);
    bool (*compares)(const void *own);
    /* The side in pixels of the small pictures that the losses take (tn_train_example.small); 0: none. NULL: never. */
    size_t (*picture_side)(const tn_network *module);
    /* Sets sizes and numbers of a new module. Errors: ARGUMENT (settings). */
    tenebra_code (*shape_module)(const tenebra_setting *settings, size_t count, tn_module_shape *shape, tenebra_error *error);
    /* The denoiser of its module (reason/denoise.h), which reconstructs what the model sees from the vectors of its steps; one without
     * parts if the module has none. NULL: its modules have none. */
    struct tn_denoiser (*denoiser)(const tn_network *module);
    /* Checks sizes and numbers of a module from a file, whose forward relies on them. NULL: nothing. */
    tn_module_check_fn *check_module;
    /* Changes values of a new module, which are those of tn_module_make so far. NULL: nothing. */
    void (*start_module)(tn_network *module, const tn_model *model);
} tn_method;

/* The name of the default method. */
const char *tn_method_default(void);

/* All methods, NULL-terminated, and one by name (NULL if there is none). */
extern const tn_method *const tn_methods[];
const tn_method *tn_method_find(const char *name);

/* The same for a name from a user. *method is NULL on failure. Errors: ARGUMENT (suggests the nearest name). */
tenebra_code tn_method_choose(const char *name, const tn_method **method, tenebra_error *error);

/* Fills the error: the method has no such option; suggests the nearest one. Returns ARGUMENT. */
tenebra_code tn_method_lacks_option(const tn_method *method, const char *option, tenebra_error *error);

/* The words of an option with TN_MEANS_LATENT_TEXT that keep the hidden state, and that use rows of the request. */
#define TN_LATENT_TEXT_KEEP  "keep"
#define TN_LATENT_TEXT_GIVEN "given"

/* The name of the input with those rows [steps, hidden_size], which replace the hidden state of each step. */
#define TN_INPUT_LATENTS "latents"

/* The name of the input with other vectors [steps, hidden_size] to reconstruct the image from (tenebra_reconstruction). */
#define TN_INPUT_RECONSTRUCT "reconstruct"

/* The maximum number of options of all methods together. */
enum { TN_METHOD_OPTIONS_MAX = 64 };

/* The option of that name, or with that meaning, of the method of that name; NULL if there is no such method (`method` may be
 * NULL) or no such option. */
const tn_option *tn_method_option(const char *method, const char *name);
const tn_option *tn_method_option_that_means(const char *method, tn_option_meaning means);

/* Writes the setting of a SIZE option with that meaning; its text is stored in `text`. False if the method has no such option. */
enum { TN_SETTING_TEXT_SIZE = 24 };
bool tn_setting_that_means(const char *method, tn_option_meaning means, size_t value, char text[TN_SETTING_TEXT_SIZE],
                           tenebra_setting *setting);

/* Checks that the method has the option and that the value is valid. Errors: ARGUMENT. */
tenebra_code tn_method_check_setting(const tn_method *method, const char *name, const char *value, tenebra_error *error);

/* The count of a note in a trace (tenebra_note), 0 without one of that name. */
size_t tn_trace_noted(const tenebra_trace *trace, const char *name);

/* Checks that a text is "sequential" or "mrope". Errors: ARGUMENT. */
tenebra_code tn_positions_check(const char *word, tenebra_error *error);

#endif
