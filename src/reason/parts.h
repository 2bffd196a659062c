/* What the files of the reasoner share among themselves. */
#ifndef TN_REASON_PARTS_H
#define TN_REASON_PARTS_H

#include "image/region.h"
#include "reason/reasoner.h"

/* Fills the error with LIMIT, "the memory of one question is full", and returns LIMIT. */
tenebra_code tn_fail_session_full(tenebra_error *error);

/* Pointers and texts of the request, before anything is done with them. Errors: ARGUMENT. */
tenebra_code tn_request_check(const tenebra_request *request, tenebra_error *error);

/* Room for the tokens and the text of one more pass. Those of earlier passes stay. Errors: LIMIT. */
tenebra_code tn_reasoner_take_answer(tn_reasoner *reasoner, tenebra_error *error);

static inline void tn_reasoner_end_answer(tn_reasoner *reasoner, tenebra_finish finish)
{
    reasoner->answer.ended = true;
    reasoner->trace.finish = finish;
}

/* Values of the method's options in effect, checked and echoed in the trace. Errors: ARGUMENT. */
tenebra_code tn_reasoner_read_settings(tn_reasoner *reasoner, tenebra_error *error);

/* Between these two, layers of networks that run for the generation are told to a request that wants it (reason/work.c). `layers`: how
 * many will run. */
void tn_reasoner_start_work(tn_reasoner *reasoner, const char *name, size_t layers);
void tn_reasoner_end_work(tn_reasoner *reasoner);

/* Around a call of the engine for these generations: its layers are told to them; one that has the call alone can end it early, the
 * others are marked as cancelled. */
typedef struct tn_work {
    tn_engine *engine;
    tn_reasoner *const *reasoners;
    size_t count;
} tn_work;
void tn_work_begin(tn_work *work, tn_engine *engine, tn_reasoner *const *reasoners, size_t count);
void tn_work_end(const tn_work *work);

tenebra_code tn_reasoner_read_positions(tn_reasoner *reasoner, tenebra_error *error);

/* All pictures must fit into the context, one more of width x height pixels among them: said before the tower runs, which may
 * take minutes. Errors: LIMIT. */
tenebra_code tn_reasoner_check_room(const tn_reasoner *reasoner, size_t width, size_t height, tenebra_error *error);

/* A picture as the model sees it, in a fresh one: without a plain frame where its processor takes frames away; in the size of its part's
 * own rule and then the model's, as qwen_vl_utils and the reference's processor do; where the part has none (or is NULL) by the request's,
 * else the model's. *seen (may be NULL): the part of the picture that is seen. Errors: ARGUMENT, UNSUPPORTED (the model takes no sizes of
 * parts), LIMIT (context), MEMORY; *resized is empty then. */
tenebra_code tn_reasoner_resize(const tn_reasoner *reasoner, const tenebra_part *part, const tn_image *image, tn_image *resized,
                                tn_region *seen, tenebra_error *error);

/* Decodes, resizes and measures the request's pictures in order. */
tenebra_code tn_reasoner_load_pictures(tn_reasoner *reasoner, tenebra_error *error);

/* Encodes the pictures that are not encoded yet, unless the session knows them. Errors: ARGUMENT (sides that are not of whole
 * cells), LIMIT, FORMAT. */
tenebra_code tn_reasoner_encode_pictures(tn_reasoner *reasoner, tenebra_error *error);

/* Whether a picture that the method redraws is seen itself, before the drawn one. */
bool tn_reasoner_shows_both(const tn_reasoner *reasoner);

/* The script of a pass: the request's messages with the example, before method->arrange. Errors: LIMIT. */
tenebra_code tn_script_open(tn_script *script, tn_reasoner *reasoner, tenebra_error *error);

/* Messages of the system at the beginning: the example stands behind them. */
size_t tn_request_system_count(const tenebra_request *request);

/* Renders the messages (after method->arrange) to the rows of the prompt. */
tenebra_code tn_reasoner_render(tn_reasoner *reasoner, tenebra_error *error);

/* The rows of rendered text, which shows the pictures from `first_picture` on; without positions. They live until the reset.
 * Errors: MISMATCH, LIMIT, MEMORY. */
tenebra_code tn_reasoner_lay_text(tn_reasoner *reasoner, const tn_text_span *spans, size_t span_count, size_t first_picture,
                                  tn_row **rows, size_t *count, tenebra_error *error);

/* Adds rows of a prompt or a turn to the span: they get the next positions, and their cells can be picked. Errors: LIMIT. */
tenebra_code tn_reasoner_add_rows(tn_reasoner *reasoner, tn_row *rows, size_t count, tenebra_error *error);

/* The rows of a further turn, laid into the span: the token of the reply that did not run, the border of the reply,
 * the messages that method->arrange adds, and the start of the next reply (turn.c). Errors: UNSUPPORTED (a template
 * that writes earlier turns anew), LIMIT. */
tenebra_code tn_reasoner_lay_turn(tn_reasoner *reasoner, tenebra_error *error);

/* With request->scores: the attention of the prompt's last row into the trace. Errors: LIMIT. */
tenebra_code tn_reasoner_keep_prompt_scores(tn_reasoner *reasoner, tenebra_error *error);

/* Sizes and grids of all pictures into the trace. Errors: LIMIT. */
tenebra_code tn_reasoner_tell_pictures(tn_reasoner *reasoner, tenebra_error *error);

/* Appends generated token `token` to the text, finds stop texts, tells the caller what is new.
 * Errors: CANCELLED, LIMIT. */
tenebra_code tn_stream_token(tn_reasoner *reasoner, int32_t token, tenebra_error *error);
/* Gives out what was held back. */
tenebra_code tn_stream_end(tn_reasoner *reasoner, tenebra_error *error);
/* The draft was the answer: gives all of it out as such. */
tenebra_code tn_stream_release(tn_reasoner *reasoner, tenebra_error *error);

/* Files a pass that is over. Errors: LIMIT. */
tenebra_code tn_reasoner_file_pass(tn_reasoner *reasoner, bool turn, tenebra_error *error);

/* A copy of a text that lives until the reset, as reasoner->account.pass_prompt. Errors: LIMIT. */
tenebra_code tn_reasoner_keep_prompt(tn_reasoner *reasoner, const char *text, size_t length, tenebra_error *error);

#endif
