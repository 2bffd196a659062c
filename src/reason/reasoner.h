/* A generation, and what methods may do with it. Its loop is in loop.c, the loop over many generations in rounds.c. */
#ifndef TN_REASON_REASONER_H
#define TN_REASON_REASONER_H

#include "base/rng.h"
#include "image/image.h"
#include "model/session.h"
#include "reason/method.h"
#include "reason/sampler.h"
#include "text/chat.h"

/* An image of the conversation: its rows and their origin. */
typedef struct tn_picture {
    tn_image_rows rows;
    size_t width, height;   /* pixels of the original image after its orientation, without a removed frame */
    size_t x, y;            /* where this part begins in the original image   */
    size_t whole_width, whole_height; /* pixels of the original image with its frame */
    size_t source;          /* index of the request's image that this is, or is drawn over; SIZE_MAX: none */
    tn_image pixels;        /* as the encoder sees them */
    tn_image_rows look;     /* the same in the size in which picks are read; no rows: as `rows` */
    tn_image look_pixels;
    tn_image original;      /* [height, width] that part of the original image, if the method keeps it */
} tn_picture;

/* An image embedding of the prompt that a method may pick. */
typedef struct tn_candidate_row {
    size_t row;     /* row of the cache          */
    size_t picture; /* index                     */
    size_t index;   /* among the image's embeddings */
} tn_candidate_row;

enum { TN_PICTURES_MAX = 64, TN_LENS_MAX = 32 };

/* Receives all rows [count, C] of the first prompt before the final norm. They are only valid during the call. */
typedef tenebra_code tn_prompt_seen_fn(tn_reasoner *reasoner, tn_row_ref rows, size_t count, tenebra_error *error);

/* The conversation so far: its images, and the rows of the prompt of the current pass (prompt.c, turn.c). */
typedef struct tn_conversation {
    tn_picture pictures[TN_PICTURES_MAX];
    size_t picture_count;
    size_t look[2];         /* width and height in which picks are read (look.h); 0: those of the prompt */
    bool keep_originals;
    size_t given;           /* images before the method added any           */
    size_t shown;           /* images that have rows in the cache           */
    tn_row *prompt;         /* [prompt_count]                               */
    size_t prompt_count;
    tn_row *tail;           /* [tail_count] rows of the prompt that come after latent steps, before the answer */
    size_t tail_count;
    bool tail_ahead;        /* they are not in the span or the cache yet    */
    tn_candidate_row *candidates;
    size_t candidate_count;
    int32_t next_position;  /* position of the next plain row               */
    tn_chat_message *dialogue; /* messages so far; replies without their text */
    size_t dialogue_count;
    size_t turn_rows;       /* rows of messages and borders of the last further turn */
} tn_conversation;

/* The rows of the conversation [context]: those in the cache, then the span under construction. Also the attention of the last
 * row that ran with a tap: scores [candidate_count], then extra_scores [extra_count] for the watched rows of the cache
 * (reasoner.c). */
typedef struct tn_span_ahead {
    tn_row *rows;
    size_t count;           /* rows of the span                             */
    size_t *keys;           /* cache rows of the candidates, then watched ones */
    size_t extra_count;
    tn_real *scores, *extra_scores;
    tn_prompt_seen_fn *see_prompt; /* NULL: the prompt's rows are not needed */
    double last_ms;         /* time of the last rows                        */
} tn_span_ahead;

/* What the loop waits for. */
typedef enum tn_phase {
    TN_PHASE_START, TN_PHASE_PROMPT, TN_PHASE_TURN, TN_PHASE_LATENT, TN_PHASE_ROWS, TN_PHASE_TOKEN, TN_PHASE_LOGITS, TN_PHASE_DONE
} tn_phase;

/* The state of the loop (loop.c). */
typedef struct tn_loop {
    tn_phase phase;
    bool handed_out;        /* a span is being run                          */
    bool tap;               /* the span under construction has a tap        */
    tn_span_tap request_tap; /* tap of the span that is being run           */
    bool has_logits;        /* the session has the logits of the last row   */
    bool goes_on;           /* the last token that ran was followed by one  */
    bool turn;              /* this pass is a further turn                  */
    bool recompute;         /* run all rows again with every span, as the reference does */
    double started, asked;  /* clock, ms                                    */
    const atomic_bool *cancel; /* may be NULL; true ends the answer         */
    bool cancelled;         /* an event returned false, which also ends it  */
} tn_loop;

/* The sampled tokens and their text (stream.c). */
typedef struct tn_answer {
    tn_sampler sampler;
    bool test_first_token;  /* false: the first token never ends the answer, as in the reference */
    bool ended;
    int32_t unrun;          /* last sampled token, part of the answer but not yet in the cache; -1: none */
    int32_t *tokens;        /* tokens of all passes                         */
    size_t token_count, max_tokens; /* max_tokens: limit of each pass       */
    size_t pass_tokens;     /* tokens of the current pass                   */
    size_t pass_limit;      /* their maximum number                         */
    bool draft;             /* the text is a draft: not the answer, unless this pass turns out to be the last */
    char *text;             /* text of the current pass: complete UTF-8, zero-terminated; lives until the close */
    size_t text_length, text_shown, text_capacity;
    tn_text_stream stream;  /* its tokenizer is NULL if the model has none  */
    tn_text piece;          /* the text that the last token completed       */
} tn_answer;

/* What is added to the trace at the end of steps and passes (steps.c). */
typedef struct tn_account {
    tenebra_step *steps;
    size_t step_count, step_capacity;
    tenebra_note *notes;
    tenebra_reconstruction *reconstruction; /* NULL: the request wants none  */
    tenebra_pass *passes;   /* finished passes                              */
    const char *pass_prompt; /* text of the current prompt or turn          */
    size_t pass_reused;     /* reused rows of the prompt                    */
    size_t pass_rows;       /* rows of the turn, including the previous reply's last token, which had not run */
} tn_account;

/* The progress of a computation, for TENEBRA_EVENT_WORK (work.c). */
typedef struct tn_work_done {
    const char *name;       /* NULL: no events are sent                     */
    size_t done, total;     /* layers                                       */
} tn_work_done;

/* A generation: one question on its way to an answer. Each group of data is changed only by the file named above it; methods
 * read the data, and change it only with the functions below. */
struct tn_reasoner {
    tn_session *session;
    const tenebra_request *request;
    const tn_method *method;
    tn_setting_value *values; /* values of method->options */
    void *state;           /* state of the method */
    bool sequential;       /* positions          */
    size_t pass;           /* from 0             */
    size_t prompts;        /* number of prompts, without turns, which selects adapters (tn_session_set_pass) */
    bool answering;        /* this is the turn that the request adds after the method's end */
    tn_rng rng;            /* for interventions  */
    tn_conversation conversation;
    tn_span_ahead span;
    tn_loop loop;
    tn_answer answer;
    tn_account account;
    tn_work_done work;
    tenebra_trace trace;
};

/* Prepares everything except the prompt: finds and checks method and settings, and takes the memory of the question. The
 * session is reset. Errors: ARGUMENT, LIMIT. */
tenebra_code tn_reasoner_open(tn_reasoner *reasoner, tn_session *session, const tenebra_request *request,
                              const atomic_bool *cancel, tenebra_error *error);
/* The same with a method that need not be in the list of methods; NULL: the method that the request names. */
tenebra_code tn_reasoner_open_method(tn_reasoner *reasoner, tn_session *session, const tenebra_request *request,
                                     const tn_method *method, const atomic_bool *cancel, tenebra_error *error);
void tn_reasoner_close(tn_reasoner *reasoner);

/* Runs the complete generation by itself (reason/rounds.c): loads images, then runs passes until the method finishes. */
tenebra_code tn_reasoner_answer(tn_reasoner *reasoner, tenebra_error *error);

/* The same from the rows of a prompt, without positions; the images are already loaded. */
tenebra_code tn_reasoner_answer_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error);

/* --------------------------------------------------------- for methods -- */

/* Zeroed memory that lives as long as the question; NULL if it is full. */
void *tn_reasoner_take(tn_reasoner *reasoner, size_t count, size_t size);

/* The value of option number `option` of the method, by its kind; for a CHOICE, the index of its word. */
size_t tn_setting_size(const tn_reasoner *reasoner, size_t option);
double tn_setting_number(const tn_reasoner *reasoner, size_t option);
size_t tn_setting_choice(const tn_reasoner *reasoner, size_t option);
const size_t *tn_setting_sides(const tn_reasoner *reasoner, size_t option); /* [2] width, height */
const char *tn_setting_text(const tn_reasoner *reasoner, size_t option);

/* The request's input of that name; NULL if there is none. */
const tenebra_input *tn_reasoner_input(const tn_reasoner *reasoner, const char *name);

/* Adds a row to the span, e.g. one of reasoner->span.rows again; position NULL: the next plain position. False if the context
 * is full. */
bool tn_span_add(tn_reasoner *reasoner, tn_row row, const tn_position *position);

/* Sets the rows of the cache whose attention the next taps report in addition to the candidates; replaces the list. */
tenebra_code tn_reasoner_watch_rows(tn_reasoner *reasoner, const size_t *rows, size_t count,
                                    tenebra_error *error);

/* Clears the list of watched rows. */
void tn_reasoner_watch_none(tn_reasoner *reasoner);

/* Adds an image in the size that the request or the model determines. It is encoded before the next rows run. */
tenebra_code tn_reasoner_add_picture(tn_reasoner *reasoner, const tn_image *image, tenebra_error *error);
/* The same for an image that already has a valid final size, and was cropped or made from an image of width x height pixels. */
tenebra_code tn_reasoner_add_resized(tn_reasoner *reasoner, const tn_image *resized, size_t width, size_t height,
                                     tenebra_error *error);

/* Images of the question are also kept as they were before they were resized (tn_picture.original). Call from open. */
void tn_reasoner_keep_originals(tn_reasoner *reasoner);

/* A candidate in the form of the trace. */
tenebra_pick tn_reasoner_pick(const tn_reasoner *reasoner, size_t candidate);

/* The tokens that the head reads from the last row; *count is their number, at most request->lens. */
tenebra_code tn_reasoner_lens(tn_reasoner *reasoner, const tenebra_lens **lens, size_t *count, tenebra_error *error);

/* Stores the attention of the row that ran last in a step, if the request has `scores`. Errors: LIMIT. */
tenebra_code tn_reasoner_tell_scores(tn_reasoner *reasoner, tenebra_step *step, tenebra_error *error);

/* Sets attention ratio and focus from `scores`, which has the attention to `picks` image rows and then to `texts` text rows;
 * NAN if there are none. Source: arXiv:2510.12603, figure 5. */
void tn_step_weigh(tenebra_step *step, const tn_real *scores, size_t picks, size_t texts);

/* Adds a finished step to the trace and sends it to the caller. Errors: CANCELLED, LIMIT. */
tenebra_code tn_reasoner_file_step(tn_reasoner *reasoner, const tenebra_step *step, tenebra_error *error);

/* Records something besides what every answer has (tenebra_note): adds to a count, or a region to a list. The name must be a constant.
 * Errors: LIMIT. */
tenebra_code tn_reasoner_note_count(tn_reasoner *reasoner, const char *name, size_t count, tenebra_error *error);
tenebra_code tn_reasoner_note_region(tn_reasoner *reasoner, const char *name, const tenebra_region *region, tenebra_error *error);

/* Zeroed memory for the method's state, reasoner->state; NULL if it is full. */
void *tn_reasoner_take_state(tn_reasoner *reasoner, size_t size);

/* `see` will be called with all rows of the first prompt, none of which is then reused from an earlier question. Call from
 * open. */
void tn_reasoner_see_prompt(tn_reasoner *reasoner, tn_prompt_seen_fn *see);

/* The number of rows that the method fed after the prompt is increased. */
void tn_reasoner_count_injected(tn_reasoner *reasoner, size_t rows);

/* The text of the current pass is sent as a draft: it is not the answer, unless the pass turns out to be the last. Call from
 * arrange. */
void tn_reasoner_draft(tn_reasoner *reasoner);

/* The answer will be empty, as if a limit had ended it. Call before TN_ACT_FINISH. */
void tn_reasoner_give_up(tn_reasoner *reasoner);

/* The current pass generates at most `limit` tokens. Call from arrange. */
void tn_reasoner_limit_pass(tn_reasoner *reasoner, size_t limit);

/* Ends the answer of the pass after the first `length` bytes of its text, as a stop text would. */
void tn_reasoner_cut_answer(tn_reasoner *reasoner, size_t length);

/* The decoding at the end of every method: requests a token until the answer ends, then FINISH. */
void tn_act_answer(const tn_reasoner *reasoner, tn_action *action);

/* ------------------------------------------------------------- scripts -- */

/* The request's messages with additions. A solved example, which is a question and a reply, comes before them and after a
 * system message. The functions below that change "the question", the user's last message, also change that of the example.
 * Texts must outlive the question, as those of tn_reasoner_join do. */
struct tn_script {
    tn_reasoner *reasoner;
    tn_chat_message *messages;
    size_t message_count;
    bool has_example;
    size_t example; /* index of the example's question; the reply follows */
};

/* Adds a message at the end; parts and their texts must outlive the question. */
tenebra_code tn_script_add_message(tn_script *script, const tn_chat_message *message, tenebra_error *error);

/* Adds text to the end of the question. */
tenebra_code tn_script_add_cue(tn_script *script, const char *text, tenebra_error *error);

/* Adds text to the end of the question, and other text to that of the example (NULL: none). Errors: ARGUMENT (there is
 * no message of the user), LIMIT. */
tenebra_code tn_script_add(tn_script *script, const char *text, const char *example, tenebra_error *error);

/* The same before the first text of the question, after images that come first. */
tenebra_code tn_script_add_before(tn_script *script, const char *text, const char *example, tenebra_error *error);

/* Keeps the first kept(text, length) <= length bytes of the question's last text. */
typedef size_t tn_script_cut_fn(const char *text, size_t length);
tenebra_code tn_script_cut(tn_script *script, tn_script_cut_fn *kept, tenebra_error *error);

/* A function for tn_script_cut that removes "Answer:" as the last line, with the white space around it. */
size_t tn_cut_answer_cue(const char *text, size_t length);

/* Writes the reply of the example, if there is one. */
void tn_script_reply(tn_script *script, const char *text);

/* Adds text to the end of the system message, which is created if there is none. */
tenebra_code tn_script_add_system(tn_script *script, const char *text, tenebra_error *error);

/* Joins the texts of a list that ends with NULL; zero-terminated; NULL if the memory is full. */
const char *tn_reasoner_join(tn_reasoner *reasoner, const char *const *texts);

/* A copy without white space (ASCII) at its ends, and one in which every run of white space is also a single blank. NULL as
 * above. */
const char *tn_reasoner_strip(tn_reasoner *reasoner, const char *text);
const char *tn_reasoner_one_line(tn_reasoner *reasoner, const char *text);

#endif
