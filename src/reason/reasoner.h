/* A generation, and what methods may do to it. The loop over it is in loop.c, that over many of them in rounds.c. */
#ifndef TN_REASON_REASONER_H
#define TN_REASON_REASONER_H

#include "base/rng.h"
#include "image/image.h"
#include "model/session.h"
#include "reason/method.h"
#include "reason/sampler.h"
#include "text/chat.h"

/* A picture of the conversation: its rows and where they come from. */
typedef struct tn_picture {
    tn_image_rows rows;
    size_t width, height;   /* of the picture as given, after its orientation, without a frame that was taken away */
    size_t x, y;            /* where that begins in it                        */
    size_t source;          /* of the request's pictures, which this is or is drawn over; SIZE_MAX: none of them */
    tn_image pixels;        /* as the tower sees them */
} tn_picture;

/* An image embedding in the prompt, that a method may pick. */
typedef struct tn_candidate_row {
    size_t row;     /* in the cache              */
    size_t picture; /* index                     */
    size_t index;   /* of the picture's embeddings */
} tn_candidate_row;

enum { TN_PICTURES_MAX = 64, TN_LENS_MAX = 32 };

/* All rows [count, C] of the first prompt, before the final norm; they are gone afterwards. */
typedef tenebra_code tn_prompt_seen_fn(tn_reasoner *reasoner, tn_row_ref rows, size_t count, tenebra_error *error);

/* The conversation so far: its pictures, and the rows of the current pass's prompt (prompt.c, turn.c). */
typedef struct tn_conversation {
    tn_picture pictures[TN_PICTURES_MAX];
    size_t picture_count;
    size_t given;           /* pictures before the method added any         */
    size_t shown;           /* pictures that have rows in the cache         */
    tn_row *prompt;         /* [prompt_count]                               */
    size_t prompt_count;
    tn_candidate_row *candidates;
    size_t candidate_count;
    int32_t next_position;  /* of a plain row that follows                  */
    tn_chat_message *dialogue; /* messages so far; replies stand there without their text */
    size_t dialogue_count;
    size_t turn_rows;       /* of the last further turn: rows of its messages and borders */
} tn_conversation;

/* The rows of the conversation [context]: those in the cache, then the span under construction; and the attention of the last row
 * that ran with a tap: scores [candidate_count], then extra_scores [extra_count] for the cache rows that are watched (reasoner.c). */
typedef struct tn_span_ahead {
    tn_row *rows;
    size_t count;           /* of the span                                  */
    size_t *keys;           /* cache rows of the candidates, then those that are watched */
    size_t extra_count;
    tn_real *scores, *extra_scores;
    tn_prompt_seen_fn *see_prompt; /* NULL: nobody wants the prompt's rows  */
    double last_ms;         /* time of the last rows                        */
} tn_span_ahead;

/* What the loop waits for. */
typedef enum tn_phase {
    TN_PHASE_START, TN_PHASE_PROMPT, TN_PHASE_TURN, TN_PHASE_LATENT, TN_PHASE_ROWS, TN_PHASE_TOKEN, TN_PHASE_LOGITS, TN_PHASE_DONE
} tn_phase;

/* Where the loop is (loop.c). */
typedef struct tn_loop {
    tn_phase phase;
    bool handed_out;        /* a span that has not come back                */
    bool tap;               /* of the span under construction               */
    tn_span_tap request_tap; /* of the span that was handed out             */
    bool has_logits;        /* of the last row, in the session              */
    bool goes_on;           /* a token follows the token that ran last      */
    bool turn;              /* this pass is a further turn                  */
    bool recompute;         /* runs all rows again with every span, as the reference does */
    double started, asked;  /* clock, ms                                    */
    const atomic_bool *cancel; /* may be NULL; true ends the answer         */
    bool cancelled;         /* so does an event that returned false         */
} tn_loop;

/* What was sampled, and its text (stream.c). */
typedef struct tn_answer {
    tn_sampler sampler;
    bool test_first_token;  /* false: the first token never ends the answer, as in the reference */
    bool ended;
    int32_t unrun;          /* last sampled token, part of the answer but not yet in the cache; -1: none */
    int32_t *tokens;        /* of all passes                                */
    size_t token_count, max_tokens; /* max_tokens: of one pass              */
    size_t pass_tokens;     /* tokens of the current pass                   */
    size_t pass_limit;      /* at most so many of them                      */
    bool draft;             /* what is being generated is not the answer, unless this pass turns out to be the last */
    char *text;             /* of the current pass: whole UTF-8, zero-terminated; lives until the close */
    size_t text_length, text_shown, text_capacity;
    tn_text_stream stream;  /* tokenizer NULL: the model has none           */
    tn_text piece;          /* what the last token completed                */
} tn_answer;

/* What goes into the trace at the end of steps and passes (steps.c). */
typedef struct tn_account {
    tenebra_step *steps;
    size_t step_count, step_capacity;
    tenebra_pass *passes;   /* those that are over                          */
    const char *pass_prompt; /* text of the prompt or turn                  */
    size_t pass_reused;     /* rows of the prompt that were known           */
    size_t pass_rows;       /* rows of the turn, with the token of the reply before that had not run */
} tn_account;

/* What is being computed, for TENEBRA_EVENT_WORK (work.c). */
typedef struct tn_work_done {
    const char *name;       /* NULL: nobody wants to know                   */
    size_t done, total;     /* layers                                       */
} tn_work_done;

/* A generation: one question on its way to an answer. It is data, which the files named above change; methods read it, and change it
 * by the functions below. */
struct tn_reasoner {
    tn_session *session;
    const tenebra_request *request;
    const tn_method *method;
    tn_setting_value *values; /* of method->options */
    void *state;           /* the method's       */
    bool sequential;       /* positions          */
    size_t pass;           /* from 0             */
    size_t prompts;        /* passes that were no turns: which adapters count (tn_session_set_pass) */
    bool answering;        /* in the turn that the request adds after the method's end */
    tn_rng rng;            /* for interventions  */
    tn_conversation conversation;
    tn_span_ahead span;
    tn_loop loop;
    tn_answer answer;
    tn_account account;
    tn_work_done work;
    tenebra_trace trace;
};

/* Prepares everything but the prompt: method and settings found and checked, memory of the question
 * taken. The session is reset. Errors: ARGUMENT, LIMIT. */
tenebra_code tn_reasoner_open(tn_reasoner *reasoner, tn_session *session, const tenebra_request *request,
                              const atomic_bool *cancel, tenebra_error *error);
/* The same with a method that is in no list; NULL: the one that the request names. */
tenebra_code tn_reasoner_open_method(tn_reasoner *reasoner, tn_session *session, const tenebra_request *request,
                                     const tn_method *method, const atomic_bool *cancel, tenebra_error *error);
void tn_reasoner_close(tn_reasoner *reasoner);

/* The whole, alone (reason/rounds.c): loads pictures, then passes until the method finishes. */
tenebra_code tn_reasoner_answer(tn_reasoner *reasoner, tenebra_error *error);

/* The same from the rows of a prompt, without positions; the pictures are in place. */
tenebra_code tn_reasoner_answer_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error);

/* --------------------------------------------------------- for methods -- */

/* Zeroed memory of the question; NULL without. */
void *tn_reasoner_take(tn_reasoner *reasoner, size_t count, size_t size);

/* The value of option number `option` of the method, as its kind has it; that of a CHOICE is the place of its word. */
size_t tn_setting_size(const tn_reasoner *reasoner, size_t option);
size_t tn_setting_choice(const tn_reasoner *reasoner, size_t option);
const char *tn_setting_text(const tn_reasoner *reasoner, size_t option);

/* The request's input of that name; NULL: there is none. */
const tenebra_input *tn_reasoner_input(const tn_reasoner *reasoner, const char *name);

/* Adds a row to the span, e.g. one of reasoner->span.rows once more; position NULL: the next plain one. False when the context is
 * full. */
bool tn_span_add(tn_reasoner *reasoner, tn_row row, const tn_position *position);

/* Cache rows whose attention the next taps report beside the candidates: replaces the list. */
tenebra_code tn_reasoner_watch_rows(tn_reasoner *reasoner, const size_t *rows, size_t count,
                                    tenebra_error *error);

/* No rows are watched any more. */
void tn_reasoner_watch_none(tn_reasoner *reasoner);

/* Adds a picture in the size that the request or the model gives it. It is encoded before the next rows run. */
tenebra_code tn_reasoner_add_picture(tn_reasoner *reasoner, const tn_image *image, tenebra_error *error);
/* The same for one that has its final size already, whose sides fit: cut or made from a picture of width x height pixels. */
tenebra_code tn_reasoner_add_resized(tn_reasoner *reasoner, const tn_image *resized, size_t width, size_t height,
                                     tenebra_error *error);

/* A candidate as the trace tells it. */
tenebra_pick tn_reasoner_pick(const tn_reasoner *reasoner, size_t candidate);

/* The tokens that the head reads from the last row; *count of them, at most request->lens. */
tenebra_code tn_reasoner_lens(tn_reasoner *reasoner, const tenebra_lens **lens, size_t *count, tenebra_error *error);

/* Puts the attention of the row that ran last into a step, where the request wants it. Errors: LIMIT. */
tenebra_code tn_reasoner_tell_scores(tn_reasoner *reasoner, tenebra_step *step, tenebra_error *error);

/* Sets attention ratio and focus from attention to `picks` image rows and the `texts` rows behind them in `scores`; NAN where there
 * are none. Source: arXiv:2510.12603, figure 5. */
void tn_step_weigh(tenebra_step *step, const tn_real *scores, size_t picks, size_t texts);

/* Files a finished step and tells the caller. Errors: CANCELLED, LIMIT. */
tenebra_code tn_reasoner_file_step(tn_reasoner *reasoner, const tenebra_step *step, tenebra_error *error);

/* Files a call of a tool. Errors: LIMIT. */
tenebra_code tn_reasoner_file_call(tn_reasoner *reasoner, const tenebra_call *call, tenebra_error *error);

/* Zeroed memory for the method's state, reasoner->state; NULL without. */
void *tn_reasoner_take_state(tn_reasoner *reasoner, size_t size);

/* Calls `see` with all rows of the first prompt, none of which is then taken from an earlier question. Call from open. */
void tn_reasoner_see_prompt(tn_reasoner *reasoner, tn_prompt_seen_fn *see);

/* Counts rows that the method fed after the prompt. */
void tn_reasoner_count_injected(tn_reasoner *reasoner, size_t rows);

/* What the current pass generates is told as a draft: it is not the answer, unless the pass turns out to be the last. Call from
 * arrange. */
void tn_reasoner_draft(tn_reasoner *reasoner);

/* There is no answer: it is empty, as if a limit had ended it. Call before TN_ACT_FINISH. */
void tn_reasoner_give_up(tn_reasoner *reasoner);

/* The current pass generates at most `limit` tokens. Call from arrange. */
void tn_reasoner_limit_pass(tn_reasoner *reasoner, size_t limit);

/* Ends the answer of the pass behind the first `length` bytes of its text, as a stop text would. */
void tn_reasoner_cut_answer(tn_reasoner *reasoner, size_t length);

/* The decoding that every method ends with: a token until the answer ends, then FINISH. */
void tn_act_answer(const tn_reasoner *reasoner, tn_action *action);

/* ------------------------------------------------------------- scripts -- */

/* The request's messages with additions. A solved example stands before them, behind a system message: a question and
 * a reply. What the functions below do to "the question", the last message of the user, they do to the example's, too.
 * Texts must outlive the question; tn_reasoner_join makes such ones. */
struct tn_script {
    tn_reasoner *reasoner;
    tn_chat_message *messages;
    size_t message_count;
    bool has_example;
    size_t example; /* index of its question; the reply follows */
};

/* Adds a message at the end; parts and their texts must outlive the question. */
tenebra_code tn_script_add_message(tn_script *script, const tn_chat_message *message, tenebra_error *error);

/* Adds text to the end of the question. */
tenebra_code tn_script_add_cue(tn_script *script, const char *text, tenebra_error *error);

/* Adds text to the end of the question, and other text to that of the example (NULL: none). Errors: ARGUMENT (there is
 * no message of the user), LIMIT. */
tenebra_code tn_script_add(tn_script *script, const char *text, const char *example, tenebra_error *error);

/* The same before the first text of the question: behind pictures that stand before everything. */
tenebra_code tn_script_add_before(tn_script *script, const char *text, const char *example, tenebra_error *error);

/* Keeps the first kept(text, length) <= length bytes of the question's last text. */
typedef size_t tn_script_cut_fn(const char *text, size_t length);
tenebra_code tn_script_cut(tn_script *script, tn_script_cut_fn *kept, tenebra_error *error);

/* A cut: "Answer:" as the last line goes, with the white space around it. */
size_t tn_cut_answer_cue(const char *text, size_t length);

/* Writes the reply of the example, if there is one. */
void tn_script_reply(tn_script *script, const char *text);

/* Adds text to the end of the system message, which is added where there is none. */
tenebra_code tn_script_add_system(tn_script *script, const char *text, tenebra_error *error);

/* The texts of a list that ends with NULL one behind the other, zero-terminated; NULL when the memory is full. */
const char *tn_reasoner_join(tn_reasoner *reasoner, const char *const *texts);

/* A copy without white space (ASCII) at its ends; and one in which every run of it is a single blank, too. NULL as above. */
const char *tn_reasoner_strip(tn_reasoner *reasoner, const char *text);
const char *tn_reasoner_one_line(tn_reasoner *reasoner, const char *text);

#endif
